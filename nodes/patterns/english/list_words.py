"""How people ask to see their list, and name several to-dos: all, or some by their places."""

from nodes.patterns.grammar.phrases import phrase_set, table, word_set

_QUESTIONS = word_set(
    "what what's whats what're which where where's how how's is are am was were have has did got",
    "there there's any anything remain remains forgot isn't aren't haven't hasn't didn't",
)
_SHOW = word_set(
    "show view see display read hear tell give say recite repeat pull bring check review print",
    "fetch retrieve access examine look looks find know wonder wondering summarize summary iterate",
    "enumerate name describe detail details present provide return output contain contains include",
    "includes inform share remind recall refresh over through rattle walk fill rundown run need",
    "want list listen scan search outline catch dictate state announce play back out loud says",
    "grab speak count reading telling showing giving hit recap scroll load consult peek glance",
    "lay verbalize rehash relay forget wondered curious mind",
)
#: Of these words one must be there, or nothing besides the name of the list itself.
ASKING = _QUESTIONS | _SHOW

#: Words that ask for a part of the list.
STATUS = {
    "open": word_set("open pending outstanding unfinished incomplete undone left remaining active"),
    "completed": word_set("completed done finished"),
}

STATUSES = frozenset().union(*STATUS.values())

_AMOUNTS = word_set(
    "all everything anything any every each entire whole complete full many much number count",
    "total amount more else various both",
)
TIMES = word_set(
    "now today currently right again already so far still current yet ever then also",
)
_CONTENTS = word_set(
    "items item things thing stuff tasks task todos todo contents content entries entry chores",
    "status memory names words errands errand jobs job chores chore duties activities projects",
    "assignments plans goals",
)
FILLERS = word_set(
    "whatever be been 's s do does had get getting gets on in at from of for with by to the a an",
    "my our me us i i've i'm i'd we we've mine that this these those it its showing lists listed",
    "listing reading up aloud off looking go going checking would refresh explain produce",
    "containing included including consist consists hold holds happening put",
    "added add written wrote set made saved stored noted down let let's real quick",
    "quickly really just please thanks exactly kind kinds type types sort sorts actually supposed",
    "say like according must needs accomplish finish and ready here verbally wanna should could",
    "can will would gonna waiting sitting being once not don't doesn't",
    "doing crossed checked marked ticked knocked accomplished empty clear blank busy bare",
    "take took give hand off remember recall as well per based left",
    "working handle tackle even they them myself",
    "that's lay screen voice somewhere sir pretty maybe",
)
#: Words that may surround LIST or TODOS when a list is asked for, in any order.
SHOWING = ASKING.union(*STATUS.values(), _AMOUNTS, TIMES, _CONTENTS, FILLERS)

#: Two words with which nothing is wished to be seen: "what should i do with my list".
NEVER_TOGETHER = (
    ("complete", "them"),
    ("finish", "them"),
    ("many", "can"),
    ("added", "today"),
    ("do", "with"),
    ("take", "finish"),
    ("long", "take"),
    ("take", "complete"),
)
#: Two words that together are not a wish to see anything: "check everything off".
NOT_TOGETHER = (
    ("check", "off"),
    ("take", "off"),
    ("get", "done"),
    ("have", "done"),
    ("crossed", "off"),
    ("checked", "off"),
    ("marked", "off"),
    ("ticked", "off"),
    ("off", "it"),
    ("do", "not"),
    ("need", "clear"),
    ("want", "clear"),
    ("need", "empty"),
    ("want", "empty"),
)
#: What follows "how" where the way to do something is asked for, and not the list.
HOW_TO = word_set("do can could should would to did")
#: Words that turn a wish into its opposite: "i don't want my list".
DENYING = word_set("not don't doesn't didn't never dont cannot can't won't shouldn't")
#: Words in front that make even those a question: "what have i not crossed off my list".
QUESTIONING = word_set("what what's whats which how is are did didn't aren't")
#: Words that turn what is done into what is not: "which of my tasks are not done".
NEGATIONS = word_set("not haven't hasn't isn't aren't didn't don't yet still")

#: Days that no list is kept for: "show my list for next week".
OTHER_TIMES = phrase_set(
    [
        "(next|last) (week|month|year|weekend)|this (weekend|month|year)|later|yesterday|"
        "(for|on|of|from) (monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
    ]
)
#: Words for to-dos of any kind: "which errands are on my list".
KINDS_OF_TODOS = word_set(
    "errands errand chores chore jobs job duties things thing stuff items item tasks task todos "
    "todo activities assignments TODOS TODO else all the of my"
)
#: Asking about anything asks for the list.
ANYTHING = word_set(
    "anything something any thing things items tasks stuff else more there TODOS all"
)
#: Verbs that ask for more than the list: "do i need to add soap to my list".
CHANGING = word_set("add remove delete put mark erase complete rename")
#: What leads to the words of a to-do in a question.
ASKED_FRONTS = phrase_set(
    [
        "(a|the|my) (task|todo|chore|item|entry|reminder) (to|for|called|about|of)|there|already|"
        "to|[already] (remember|manage) to (add|put|include|write down)|(need|have|want|supposed|"
        "got) to"
    ]
)
#: Words with which a number is asked for.
COUNTING = phrase_set(
    [
        "how many|count|total up|[the] (number|amount|total number|total|count) (of|TODOS)|how "
        "long is"
    ]
)

#: Asking for the list without naming it, or in words that would mean something else alone.
IMPLICIT = [
    "(list|show|display|read|open|view|see|check) (TODO|to do)",
    "(get|have|give [me|us]|gimme|need|want|grab|take|do|provide|run) [me|us] [a|an|the] [quick|"
    "brief|short|full|little|complete|nice|good] (rundown|summary|overview|recap|readout|reading|"
    "review|look|peek|glance|glimpse|squiz|gander|copy|view) (of|at|on|through) (LIST|TODOS)",
    "[what is|what's|whats|what] [is] [my|the] next TODO [on LIST|today|now]",
    "(what is|what's|whats|what was|tell me|what 's) [up|coming up|the] next [up|thing|item|task|"
    "one|TODO] (on|in) LIST",
    "what do i (need|have) to (complete|do|finish|get done|tackle) (first|next) (from|on) LIST",
    "what (should|must) i (do|complete|finish|tackle) (first|next) (from|on) LIST",
    "open [up] (LIST|TODOS)",
    "(do|did) you [still] (have|remember|know|see) (LIST|TODOS)",
    "(get [me]|call up) (LIST|TODOS)",
    "(i'd like|i would like) (LIST|TODOS)",
    "go [back] (over|through) (LIST|TODOS) [with me|for me]",
    "what (is|'s|s) (left|still left|remaining) (to do|to be done) [today|now|for today]",
    "(what's|whats) (left|still left|remaining) (to do|to be done) [today|now|for today]",
    "[know|tell me|see|hear|let me know|show me] what (do i|i) [still] (have|need) [left] to "
    "(do|get done) [today|now|for today]",
    "what (items|things|tasks|chores|todos) do i [still] (have|need) [left] to do [today|now]",
    "what have i got [left] to do [today|now]",
    "what (else|more) (do i|should i|must i) (have|need) to do [today|now]",
]

#: Asking for the list right after a clause about to-dos.
ELLIPTIC = [
    "(read|tell|show|give|repeat|recite|say) (it|them|that|that one) [back|out|aloud|all] [to me|"
    "for me|back to me|out loud|me|aloud]",
    "(read|tell|show) me (it|them|everything|what it says|what you see|what you find|what you got)",
    "(read|tell|show) [to|back to] me|(tell|show) me what (is there|you have|i have|there is)",
    "what does it say",
    "(list|show|read|tell|give) [me] (everything|all|them|them all|all of them|all of it|what is "
    "left)",
    "(show|read) [me] what (is|'s) (on it|there|left)",
    "(show|read|tell|see|say) [me|us] (what's|whats|what is) (on it|there|left|on there|in it)",
    "what (is|'s) (on it|left|on there)",
    "(what's|whats) (on it|left|on there)",
]


CLASSES = {
    "all": [
        "everything|all|them|all of (it|them|these)|"
        "every (thing|item|todo|task|one|single one|entry|"
        "single (thing|item|todo|task)|TODO)|each [of] (item|todo|task|one|TODO|TODOS)|[all|all of"
        "|every one of|each of] TODOS|all [of] [the|my] (items|things|entries|contents)|the "
        "contents|all of LIST|(every|each) (chore|entry|single chore)",
    ],
    "off": ["(from|off|off of|out of|on|in|of|that's on|that is on|which is on)"],
    "done": [
        "done|complete|completed|finished|checked|checked off|ticked|ticked off|closed|crossed "
        "off|resolved"
    ],
    "wipe": [
        "clear|clear out|clear off|empty|empty out|wipe|wipe out|clean out|clean|purge|flush|wipe "
        "clean|reset"
    ],
    "entirely": ["[completely|entirely|clean|out|off|empty|altogether|for me]"],
}

#: A whole clause that means every to-do, with what becomes of them.
ALL_OF_THEM = table(
    {
        "<wipe> [<all> <off>] LIST <entirely>": "delete",
        "<wipe> [out|off] <all> <off> LIST": "delete",
        "(remove|delete|erase|discard|drop|clear|scrap|trash|get rid of|take off|cancel|wipe) "
        "<all> [<off> LIST]": "delete",
        "take <all> (off|out) [of] LIST|(get|have) <all> (off|off of) LIST": "delete",
        "(make|leave|get) LIST (empty|blank)|empty LIST out": "delete",
        "(mark|set|flag|check|tick|make|label|count|move) <all> [<off> LIST] [as|to] <done> "
        "[<off> LIST]": "complete",
        "(complete|finish|check off|tick off|cross off|cross out|mark off|close) <all> [<off> "
        "LIST] [as <done>]": "complete",
        "(check|tick|cross|mark) <all> off [LIST|<off> LIST]": "complete",
    },
    CLASSES,
)
#: One of these has to be said where only to-dos are named: "delete all my todos".
ALL = word_set("all everything every each")

#: What may follow a place: "delete todo 1 right now".
HASTE = phrase_set(
    ["now|right (now|away)|immediately|asap|too|as well|please|again|quickly|for me"]
)

#: What stands before places that are several.
NOUNS = word_set(
    "todos tasks items todo task item numbers number entries things TODOS TODO one ones"
)
FRONTS = word_set("the my todo")
#: Words for more than one, and no places: "two todos", "the last tasks", "some items".
QUANTITIES = phrase_set(
    [
        "[the|my|these|those|any|all] [first|last|next|other] [of] (two|three|four|five|six|seven|"
        "eight|nine|ten|2|3|4|5|6|7|8|9|10|few|several|both|some|most|half|many|more|other|a few|a "
        "couple|a bunch|couple|any|one of|half of|most of|some of|several of) [of] [the|my|these] "
        "(todos|tasks|items|TODOS|things|chores|entries|TODO|LIST|them)",
        "[the|my] (first|last|next|other|few|second) (todos|tasks|items|TODOS|things|chores|ones)",
        "both|some|several|a few|most|half|them all|TODOS|all|everything|any",
    ]
)
