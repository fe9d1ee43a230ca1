"""How people ask to see their list, name several of its to-dos, and announce new ones.

To-dos are announced by explicit openings: after "add a todo", "todo:", "new task" the rest is the
item, as it stands. One line is a sentence there, in the notation of `grammar.phrases`.
"""

from enum import Enum

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


# Explicit openings: one line a sentence, over the words of the prompt.


class Opens(Enum):
    """What an opening begins."""

    ONE = "one to-do"
    SEVERAL = "several to-dos"
    REMINDER = "one to-do that people want to be reminded of"
    BARE = "one to-do, after its bare name"
    HEADING = "several to-dos, if they stand in the lines after it"
    COMPLETION = "to-dos that are done"
    DELETION = "to-dos that go"


OPENING_CLASSES = {
    "todo": [
        "todo|to do|task|chore|to do item|todo item|task item|to do list item|todo list item|"
        "todo task|to do task|action item|list item|todo entry|to do entry|errand"
    ],
    "todos": [
        "todos|to dos|tasks|chores|to do items|todo items|to do's|todo's|task items|list items|"
        "to do list items|todo list items|to do tasks|todo tasks|errands"
    ],
    "a": [
        "(a|an|another|one|one more|my|the|this|the following|an extra) [new|quick|single|extra|"
        "additional|little|simple|next|following|<priority>]",
        "new|<priority>",
    ],
    "these": [
        "[the|these|those|my|some|all] [following|new|<number>|more|few|other] [of]",
        "all these|all of these|the <number> following|a few|both [these|of these]|these <number> "
        "new|a couple of",
    ],
    "number": ["two|three|four|five|six|seven|eight|nine|ten|2|3|4|5|6|7|8|9|10"],
    "priority": [
        "urgent|important|critical|high priority|low priority|top priority|very important|very "
        "urgent|super important|super urgent"
    ],
    "list": [
        "[my|the|our|this|your] [own|personal|whole|current] (list|to do list|todo list|todolist|"
        "task list|tasklist|tasks list|chore list|chores list|list of (things|tasks|chores|stuff|"
        "todos|to dos) [to do]|todos|to dos|tasks|chores)"
    ],
    "onto": ["to|on|onto|on to|in|into|in to|for"],
    "add": [
        "add|create|make|insert|append|include|write down|jot down|note down|put down|adding|"
        "creating|making|add in|enter|record|log|register"
    ],
    "with article": [
        "put|put in|write|note|save|set|set up|start|open|give me|schedule|set me|make me|add me|"
        "get me|i need|i want|i'd like|i would like|i have|we need|i've got|there's|there is|jot|"
        "throw in|put up"
    ],
    "called": [
        "to|for|called|named|titled|entitled|saying|that says|which says|that reads|about|of|"
        "labeled|labelled|to remind me to|reminding me to|that i (need|have) to|i (need|have) to|"
        "for me to|with the (text|title|name|description)|which is|that is|containing",
    ],
    "sign": ["[,] :|-|,"],
    "remove": ["remove|delete|erase|discard|drop|get rid of|scrap|trash|ditch|clear|take off"],
    "complete": [
        "complete|finish|check off|tick off|cross off|mark off|tick|check|mark as (done|complete|"
        "completed|finished)|mark"
    ],
    "off list": ["(from|off|off of|on|in) <list>"],
}

OPENINGS_OF_TODOS = table(
    {
        "<add> [<a>] <todo> [<onto> <list>] [<called>] [<sign>]": Opens.ONE,
        "<with article> (a|an|another|one|one more) [new|quick|<priority>] <todo> [<onto> <list>] "
        "(<called> [<sign>]|<sign>)": Opens.ONE,
        "(put|write|note|save|set up|jot|start|set me|make me|add me|put down) (a|an|another|one|"
        "one more) [new|quick|<priority>] <todo> [<onto> <list>]": Opens.ONE,
        "new [<priority>] <todo> [<onto> <list>] [<called>] [<sign>]": Opens.ONE,
        "[my|a|next|another|<priority>] <todo> (:|-)": Opens.ONE,
        "remind me [that i need] to|remind me that i (need|have) to|remind me that i must|remind me"
        " [:]": (Opens.REMINDER),
        "(don't|do not) let me forget to": Opens.REMINDER,
        "todo|task": Opens.BARE,
        "<add> <these> <todos> [<onto> <list>] [<called>] [<sign>]": Opens.SEVERAL,
        "<with article> <these> <todos> [<onto> <list>] [<called>] [<sign>]": Opens.SEVERAL,
        "(<add>|put) <these> (items|things|entries|ones) <onto> <list> [<sign>]": Opens.SEVERAL,
        "(<add>|put) (these|the following|all of these|all these|both|both of these|this) [items|"
        "things] (<onto> <list> [<sign>]|:)": Opens.SEVERAL,
        "[new|<these>] <todos> [for (today|tomorrow)] :": Opens.SEVERAL,
        "(these|the following) (items|things) <onto> <list> :": Opens.SEVERAL,
        "(<add>|put) <onto> <list> [<sign>]": Opens.HEADING,
        "[<onto>] <list> [for (today|tomorrow)] :": Opens.HEADING,
        "<complete> <these> (<todos>|items|things|ones) [<off list>] [as (done|complete|completed|"
        "finished)] :": Opens.COMPLETION,
        "<complete> (these|the following) [items|things] [<off list>] [as (done|complete|"
        "completed|finished)] :": Opens.COMPLETION,
        "<remove> <these> (<todos>|items|things|ones) [<off list>] :": Opens.DELETION,
        "<remove> (these|the following) [items|things] [<off list>] :": Opens.DELETION,
    },
    OPENING_CLASSES,
)

#: Words after "task" or "to do" that make another thing of it: "to do list", "task manager".
LISTS = frozenset({"list", "lists"})
COMPOUNDS = frozenset({"bar", "manager", "app", "apps", "force", "master", "rabbit", "group"})
PRIORITIES = phrase_set(["<priority>"], OPENING_CLASSES)

#: When something is to be done; it stays in the words of the to-do.
WHEN = phrase_set(
    [
        "(today|tonight|tomorrow|later|daily|weekly|monthly|yearly|hourly|again)",
        "[this|tomorrow|next|every|each|on|in the|at] (morning|afternoon|evening|night|noon|"
        "midnight|weekend|week|month|year|day|hour|minute)",
        "[on|next|this|every|each|by|until] (monday|tuesday|wednesday|thursday|friday|saturday|"
        "sunday|mondays|tuesdays|wednesdays|thursdays|fridays|saturdays|sundays|weekdays|weekends)",
        "(in|after|within) (a|an|one|half an|a few|a couple of|the) (minute|minutes|hour|hours|day|"
        "days|week|weeks|month|months|while|bit|second|seconds)",
        "(at|by|around|before|after|until|from) (noon|midnight|night|lunch|dinner|breakfast|work|"
        "lunchtime|dinnertime|bedtime)",
        "first thing [in the morning]|at the end of the (day|week|month)|(once|twice) a (day|week)",
    ]
)
TIME_FRONTS = frozenset({"at", "by", "around", "before", "after", "in", "on", "from", "until"})
TIME_ENDS = phrase_set(
    ["am|pm|a . m [.]|p . m [.]|o'clock|minutes|minute|mins|hours|hour|hrs|days|weeks|months"]
)

#: What begins a request for other programs; no item continues with these after "and".
OTHER_REQUESTS = phrase_set(
    [
        "play|pause|mute|unmute|resume|shuffle|snooze|navigate|turn (on|off|up|down|the|my)",
        "(set|start|stop|cancel) (a|an|the|my) (alarm|timer|reminder|stopwatch)|wake me|tell me",
        "what|what's|whats|who|who's|where's|how (much|many|far|old|tall|long)|show me|say|sing",
        "(what|who|where|when|why|how) (is|are|was|were|do|does|did|will|can|should)",
        "(can|could|will|would) (you|u)|dim|translate|convert|set the|switch (on|off)",
        "is there|are there|give me|read me|let me|i (want|need) you",
    ]
)
#: After these, "please" and "thanks" are what is to be said.
SAYING = frozenset(
    {"say", "saying", "says", "write", "type", "tell", "reply", "answer", "shout", "whisper",
     "text", "send", "learn", "word", "words", "with", "a", "the", "of", "and", "for", "to"}
)  # fmt: skip
