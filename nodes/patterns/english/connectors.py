"""What stands between two requests, and how the next one begins."""

from enum import IntEnum

from nodes.patterns.english.todo_words import BREEZY, CLASSES
from nodes.patterns.grammar.phrases import first_words, phrase_set, table, word_set


class Bond(IntEnum):
    """How firmly a connector divides."""

    NUMBER = 0  # "and" before a calculation, or inside one
    FUZZY = 1  # "and", before words that begin a request only now and then
    CLEAR = 2  # "and", before words that begin a request; "then"
    HARD = 3  # the end of a sentence or line


#: Connectors that always divide.
DIVIDING_LINES = {
    ";|?|!|•": Bond.HARD,
    "[,] [and|but] (then|after that|afterwards|after this|thereafter|after which|(once|when|"
    "after) (that|that's|that is|this is|you're|you are|you've|you have) (done|finished|done "
    "that|done with that|completed|complete|did that)|once done|when done|subsequently|(while|"
    "since|as long as) (you're|you are|ur|we're|i'm) at it|while you're there) [,] [also|"
    "please]": Bond.CLEAR,
    "[,] (oh|oh yeah|oh yes|ah) (and|also|plus|yeah and) [also|then] [,]": Bond.CLEAR,
    "[,] (and|also|then) (also|next|finally|lastly|secondly|thirdly) [,]": Bond.CLEAR,
    "[,] [and] [also] (one (more|last|other|final) thing|another thing) (,|:|-)": Bond.CLEAR,
    ", (next|finally|lastly|also|additionally) [,]": Bond.CLEAR,
    "[,] [and] (in addition|additionally|as well as|besides that|on top of that) [,]": (Bond.CLEAR),
}
DIVIDING = table(DIVIDING_LINES)

#: Connectors that divide only before the beginning of a request.
JOINING_LINES = [
    "[,] and|,|&|plus|but|+|also|-|:|[,] [and] so|, then|[,] [and] (after|afterwards|next)",
]
#: An "or" divides as well, and leaves open what is asked for.
JOINING = phrase_set([*JOINING_LINES, "or"])

#: Phrases that begin a request wherever they stand.
BEGINNINGS = [
    "what|what's|whats|who|who's|where|where's|when's|why|which",
    "how|how's|what'll|what're|who'll|when'll|is there|are there|isn't|aren't|don't|doesn't",
    "when (is|are|was|will|do|does|did|should|can|could|would|has|have)",
    "(can|could|will|would|should|may) (the|my|this|that|it|he|she|they|we|i|you|a|an)",
    "is|are|am|was|were|do|does|did|has|have (i|we|you)",
    "tell (me|us)|give me|let me|show|show me|read (me|my|the|out)|list (my|all|the|out)",
    "list (todos|tasks|chores|everything|to dos)",
    "calculate|compute|evaluate|multiply|divide|subtract|solve|square|cube|double|triple|halve",
    "i (finished|completed|did|have|already|just)|i've|i'm|i am|combine",
    "go (to|into|in|on|through|over) (my|the)",
    "times|minus|divided by|multiplied by",
    "add|remove|delete|erase|mark|cross off|check off|tick off|rename|scratch|strike",
    "cross (it|that|out)|check (it|that|my|the|if|whether|to)",
    "create (a|an|another|the|new)|make (a|another) (todo|task|to do|note)",
    "new (todo|task)",
    "display|display my|remind me|play|set (a|an|the|my)|turn (on|off|up|down)|email",
    "i (want|need|must|gotta|wish|would|like|think|get)|i'd like|thanks|thank you|hey|it's|it is",
    "(find|get|book|order|send|bring|make|buy|help|play|call|tell|wake|text) me|find out|look up",
    "(dim|mute|unmute|pause|resume|shuffle|skip|stream|snooze|launch|translate|google|disable|"
    "enable)",
    "(raise|lower|adjust|open up|restart|reset|silence) (the|my|brightness|volume)|wake (me|us)",
    "switch (to|over|on|off|the)|navigate|directions|speak (up|faster|slower|louder)|never mind",
    "(start|stop|begin) (playing|reading|the|my|a|recording)|put on (some|the)|take me|go silent",
    "(roll|flip|spin) (a|an|the|some|two|2|three|3|dice)|pick a number|count to|(dial|call) (911|"
    "112|999)",
    "turn (the|to|my)|dial|adjust|compile|declare|ignore|forward (the|my|this)|bring back",
    "find (someone|articles|an article|news|the best|the names)|report outage|you want",
    "transfer|change (the|my|color|colour)|make (a list|a chart|a table|a reservation|my volume)",
    "get (news|the news|latest|the latest|directions|updates|the next)|put me through|report (an|"
    "a)",
    "(update|confirm|check|count) my|confirm the|request (a|an)|good (morning|night|evening)",
    "list (events|nearby|the)|name (the|all|some|a)|take a (picture|photo|selfie|screenshot)",
    "search (for|up|all|the|my)|see if|generate|explain|recommend|convert|will|if (i|i'm|you|the)",
    "(todo|task|to do) :",
]

#: Being addressed begins a request too, whatever is asked.
ADDRESSING = phrase_set(
    ["please|(can|could|would|will) you|i need you to|i want you to|(can|could|may) (i|we)"]
)

#: Words that begin a request, and just as often belong to an item before them.
PERHAPS_BEGINNINGS = word_set(
    "my the list on to in from i half sum product todo todos task tasks see view print find bring",
    "go look search scan repeat review recite retrieve access describe summarize enumerate iterate",
    "oh nah honey mate boss",
    "name run walk fill call hear say let's help work any anything there if when math label flag",
).union(
    BREEZY,
    *(
        first_words(line, CLASSES)
        for name in ("add", "create", "remove", "check", "finish", "change", "show")
        for line in CLASSES[name]
    ),
)
