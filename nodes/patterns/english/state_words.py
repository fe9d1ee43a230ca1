"""Words that say in which state a to-do is, or when it is due, and so are no words for one."""

from nodes.patterns.english.todo_words import CLASSES
from nodes.patterns.grammar.phrases import phrase_set

#: A to-do of which this is said is done.
DONE_STATES = phrase_set(
    ["[now|already|all|fully] [marked|set|flagged|checked] [as|to|to be] [all] <done> [now]"],
    CLASSES,
)

#: Texts that are a state, a time or an order, and nothing that is to be done.
STATES = phrase_set(
    [
        "[very|more|really|a|as] [high|low|top|highest|lowest|medium|normal] "
        "(priority|urgent|important|urgency) [now]",
        "[the] (first|second|third|last|next|top|bottom|higher|lower) [one]",
        "(fine|ok|okay|good|great|enough|right|correct|wrong|easy|ready|true|false|yes|no) [now]",
        "(open|reopened|active|pending|incomplete|undone|unfinished|unchecked|uncompleted|blocked|"
        "started|ongoing|progress|waiting|todo|to do|TODO|overdue|due|late|done|deleted|archived|"
        "in progress|on hold|todos) [now|again]",
        "[by|on|at|for|due|until|before] [next|this] (today|tomorrow|tonight|now|later|soon|week|"
        "month|year|weekend|monday|tuesday|wednesday|thursday|friday|saturday|sunday|morning|"
        "noon|afternoon|evening) [morning|afternoon|evening|night]",
    ]
)

#: Words that no new text of a to-do begins with: "done by Friday", "not done".
STATE_FRONTS = frozenset(
    [
        "done",
        "completed",
        "finished",
        "checked",
        "ticked",
        "closed",
        "crossed",
        "accomplished",
        "resolved",
        "marked",
        "deleted",
        "removed",
        "gone",
        "erased",
        "dropped",
        "cancelled",
        "canceled",
        "archived",
        "undone",
        "unchecked",
        "incomplete",
        "not",
        "already",
        "at",
        "by",
    ]
)
#: What leads to them.
BEFORE_STATES = frozenset({"now", "already", "all", "fully", "set", "to", "be", "as"})

#: Words for a change by which the state can be meant: not "rename", and not "say".
TO_A_STATE = phrase_set(["(change|update|edit|modify|switch|alter|move)"])
