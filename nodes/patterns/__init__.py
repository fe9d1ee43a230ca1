"""The deterministic planner: the language of arithmetic and to-dos as tables and small readers.

`planner` is the way in. To teach it another way of saying something, add a line to a table of
`english` (`grammar.phrases` explains the notation):

- around any request: `small_talk`; between two: `clauses`; beside one, asking for nothing more:
  `accounts` and the echoes in `arithmetic_words`
- arithmetic: operations, and words that mean nothing around them, in `arithmetic_words`
- to-dos: names of the list in `list_names`, sentences in `todo_templates`, their verbs (all that
  mean add, delete, finish …) in `todo_words`; asking for the list in `list_words`; items that are
  none of ours in `list_names`
- slips of the keyboard: `grammar.words`
- what no sentence fits, read by the classes of its words alone: `todo_words` for verbs and
  questions, `small_talk` for the words that may stand around a request

A tool brings its own sentences with `@tool(phrases=["sleep {seconds} seconds"])` and needs no
change here.

In a conversation, `antecedent` says what words for something said before mean after the thread's
last run; sentences that are said only then stand in `todo_templates`.

Before all of them come the lines of a prompt with their marks, and the clauses of each
(`clauses`), then explicit openings (`list_words`), after which the rest is the item. What a plan
has used is kept in `accounts`: a word that nothing accounts for refuses the plan, and the words
that may stand without effect are one list there.

Others use `accounts`, `grammar.phrases.word_set` and `planner`.
"""
