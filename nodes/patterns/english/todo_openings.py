"""Explicit openings: after "add a todo", "todo:", "new task" the rest is the item, as it stands.

One line a sentence, in the notation of `grammar.phrases`, over the words of the prompt.
"""

from enum import Enum

from nodes.patterns.grammar.phrases import phrase_set, table


class Opens(Enum):
    """What an opening begins."""

    ONE = "one to-do"
    SEVERAL = "several to-dos"
    REMINDER = "one to-do that people want to be reminded of"
    BARE = "one to-do, after its bare name"
    HEADING = "several to-dos, if they stand in the lines after it"
    COMPLETION = "to-dos that are done"
    DELETION = "to-dos that go"


CLASSES = {
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
    CLASSES,
)

#: Words after "task" or "to do" that make another thing of it: "to do list", "task manager".
LISTS = frozenset({"list", "lists"})
COMPOUNDS = frozenset({"bar", "manager", "app", "apps", "force", "master", "rabbit", "group"})
PRIORITIES = phrase_set(["<priority>"], CLASSES)

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
