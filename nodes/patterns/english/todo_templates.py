"""How people ask for the six to-do operations: one line a sentence, with `{slots}` for their words.

LIST, TODO and TODOS stand for a name of the list, of one to-do and of several (`list_names.py`).
A `{todo}` is one that is on the list already, `{text}` and `{items}` are the words of new ones. At
the end are sentences and words that mean something only after another run of the same thread, and
the phrases by which one sees that a request of any kind begins.
"""

from nodes.patterns.english.todo_words import CLASSES
from nodes.patterns.grammar.phrases import phrase_set

# How people ask whether something is on the list; the answer to all of them is the list.
#
# One line a sentence, in the notation of `todo_templates.py`. `{item}` is whatever is asked about,
# `{few}` a kind of to-do, as in "which errands are on my list".

QUESTION_TEMPLATES = [
    "<there> {item} [<was>] <onto> <list> [<now>]",
    "<is it so> {item} (is|are|was|were) [<was>] <onto> <list> [<now>]",
    "[<i wonder>] (am|was|do|did|are|were|should|must) (i|we) [<have to>] {item} <according to> "
    "LIST",
    "<according to> LIST [,] (am|was|do|did|are|were|should|must) (i|we) [<have to>] {item}",
    "(what|which) {few} (is|are|was|were|do i have|have i|did i [<got>]|do i need to do|"
    "should i do|are there) [<was>] <onto> <list> [<now>]",
    "<there> {item} (on|in|part of|part|one of|one) TODOS",
    "<there> {item} [a] (part of|one of) LIST",
    "(is it|does it say|is it written|do i have it) <onto> LIST [to] {item}",
    "does it say [to] {item} <onto> LIST",
    "(would|might) {item} be [<was>] <onto> <list> [<now>]",
    "has {item} been (added|put|placed|included|listed) [<onto>] LIST [<now>]",
    "<there> there {item} <onto> <list> [<now>]",
    "<have i> [<got>] {item} [<was>] <onto> <list> [<now>]",
    "(<have i> [<got>]|is there) (TODO|anything|something) <onto> <list> <called> {item}",
    "(does|do|did|has|will|is) LIST <with> {item} [<now>]",
    "(does|do|did|has|will) LIST [currently|already|still|even] <with> {item} [on|in] [it] [<now>]",
    "<i wonder> {item} (is|are|was|were|has been) [<was>] <onto> <list> [<now>]",
    "<i wonder> <have i> [<got>] {item} [<was>] <onto> <list> [<now>]",
    "<i wonder> (i|we) [have|had|already|did] [<got>] {item} [<was>] <onto> <list> [<now>]",
    "<i wonder> [there is|there's|there are] {item} <onto> <list> [<now>]",
    "(check|search|scan|look (on|at|in|through|over)|go through) LIST (for|to see if i have|to "
    "see if it has|and see if i have|and tell me if i have|to find) {item}",
    "(check|search|scan|look (on|at|in|through|over)) LIST (to|and) (see|tell me|check) "
    "<whether> {item} (is|are|was) (<there now>|on the list)",
    "on LIST [,] (<have i>|is there|are there|is|are) [<got>] {item}",
    "<i wonder> LIST (has|includes|contains|have|shows) {item} [<now>]",
    "LIST (has|includes|contains) {item} [,] [right|doesn't it|correct]",
    "{item} (is|are) [already] <onto> <list> [,] (right|correct|isn't it|yes|is it|or not|true|"
    "isn't that right)",
    "<i wonder> {item} (is|are|was|were) [<was>] <onto> <list> or not",
]

#: `action: sentences`. Where several fit, the one with the most words of its own is taken, then
#: the one that stands first. `{known}` is a to-do named by its place or by "it".
TEMPLATES = {
    "add": [
        "<add> [down] [in] {text} <onto> <list>",
        "<add> {text} <onto> A_LIST of mine",
        "<add> {text} LIST",
        "<add> {text} 2 LIST",
        "<onto> <list> [,] [<also>] <add> [:] {text}",
        "<add> <onto> <list> [:|,|-] {text}",
        "for LIST [,] [<also>] <add> {text}",
        "(write|put|mark|jot|note|get|pencil|pen|type|slot) {text} (down|in) <onto> <list>",
        "(for|on|to) <list> : {text}",
        "<onto> <list> [,] (i want|i need|i'd like|there should be|there needs to be|i have) "
        "{text}",
        "{few} [,] <therefore> <add> (it|that|this|them) <onto> <list>",
        "(make|write|leave) [me] (a|another) note <onto> <list> (to|about) {text}",
        "<add> (this|something|this item|one more thing|another thing|one thing) <onto> <list> [:|"
        ",|-] {text}",
        "(make|consider) {text} [a] part of <list>",
        "<add> {text} as one [of] TODOS",
        "(can|could|would|will) LIST (have|include|get) {text} [added] [to it]",
        "LIST [:|,] [<also>] (add|put|insert|include|append|new) [:] {text}",
        "<create> TODO {text}",
        "<create> TODO <called> {text}",
        "<create> to do [:|,|-] {text}",
        "<create> TODO {text} <onto> <list>",
        "<create> TODO <called> {text} <onto> <list>",
        "<create> TODO <onto> <list> [<called>] {text}",
        "<create> TODO <onto> <list> <called> {text}",
        "<create> [a|an|another|new|a new] (item|entry) (:|called|named|saying) {text}",
        "TODO : {text}",
        "to do : {text}",
        "new TODO {text}",
        "<add> {text} as [a|my|the] TODO",
        "<add> {text} as [a|my|the] TODO <onto> <list>",
        "<add> {text} <onto> <list> as [a|my|the] TODO",
        "(i need|i want|i'd like|i would like) TODO <called> {text}",
        "(i need|i want|i'd like|i would like|i have|we need|i'll need|i must have|have|get|i "
        "needed) {text} [to be] (put|added|placed|included|written|listed|entered) [down] <onto> "
        "<list>",
        "(i need|i want|i'd like|i would like|we need|i'll need|need|gotta have) "
        "{text} <onto> <list>",
        "{text} (needs to|should|must|has to|ought to|can|could|may|will) "
        "(be|go|be put|be added|be placed|get added|be included|get put) <onto> <list>",
        "{text} (goes|belongs) <onto> <list>",
        "LIST (needs|should have|must have|needs to have|should include|needs to include|"
        "has to have|must include) {text} [on it|in it]",
        "(make sure|ensure|be sure|see to it) [that] {text} (is|are|gets|goes|get|gets put|"
        "is put|is added|gets added) <onto> <list>",
        "remind me [that i need] to <add> {text} <onto> <list>",
        "remind me [that i need] to {text} [,] <therefore> <add> [it|that|this] <onto> <list>",
        "remind me [that i need] to {text} by (putting|adding) it <onto> <list>",
        "(can|could|would|will) {text} be (added|put|placed|included|written) <onto> <list>",
        "LIST is missing {text}",
        "{text} needs (adding|putting|placing|including) <onto> <list>",
        "(can|could|would|will) {text} (go|get added|get put) <onto> <list>",
        "(make sure|ensure|be sure|see to it) [that] {text} (ends up|winds up|lands|stays|gets "
        "placed|gets written|gets included) <onto> <list>",
        "TODO <onto> <list> (:|,|-) {text}",
        "let LIST (have|include) {text}",
        "<i must> {text} [,] <therefore> <add> (it|that|this) <onto> <list>",
        "(update|edit|change|modify|revise|amend|adjust) LIST "
        "(to include|with|to add|to have|to say|to show|by adding|and add|:|,) [:] {text}",
        "(make|write|leave|put|add|create|set) [me] (a|another) (note|reminder|memo|line) "
        "<onto> <list> [<called>] {text}",
        "<go to> LIST [,] [and|to|by] [then|please] <add> {text}",
    ],
    "add several": [
        "<create> TODOS {items}",
        "<create> TODOS <called> {items}",
        "<create> TODOS {items} <onto> <list>",
        "<create> TODOS <onto> <list> [:|,|-] {items}",
        "<create> TODOS <called> {items} <onto> <list>",
        "<add> (items|things) <onto> <list> [:|,|-] {items}",
        "<add> (these|the following|the following things|these things|all of these|both)"
        " <onto> <list> [:|,|-] {items}",
        "<add> (the following|these|both|all of these) [things] [:] {items} <onto> <list>",
        "<add> <onto> <list> [the following|these|these things|the following things] : {items}",
        "TODOS : {items}",
        "<add> {items} as [the|my] TODOS",
    ],
    "list": QUESTION_TEMPLATES,
    "delete": [
        "<surely remove> {known}",
        "take off {known}",
        "take {known} off",
        "<remove> {todo} <from> <list>",
        "<remove> <from> <list> [:|,] {todo}",
        "<from> <list> [,] [<also>] <remove> [off] {todo}",
        "LIST [:|,] (remove|delete|erase|take off|drop) {todo}",
        "<surely remove> (the|my) {todo} (task|todo|chore|to do|to do item|TODO)",
        "(there's|there is) no [more|longer] (need|use|reason) (for|to have|to keep) {todo} "
        "<onto> <list> [<now>]",
        "no [more|longer] need [for|to have] {todo} <onto> <list> [<now>]",
        "<surely remove> TODO {todo}",
        "<surely remove> TODO <about> {todo}",
        "<surely remove> to do {todo}",
        "<remove> TODO <about> {todo} <from> <list>",
        "<remove> TODO {todo} <from> <list>",
        "<remove> TODO <from> <list> <about> {todo}",
        "(i don't|i do not|i no longer|we don't|i dont) (need|want|have) {todo} <onto> <list>",
        "LIST (doesn't|does not|no longer|shouldn't) (need|needs|have|include) [to have] {todo}",
        "{todo} (can|should|could|needs to|may|must|has to) "
        "(be|come|go) (removed|deleted|erased|taken|off|dropped|struck) [off] <from> <list>",
        "{todo} (can|should|could|may|needs to) (come|go) <from> <list>",
        "(i want|i need|i'd like|i would like|have|get) {todo} "
        "(removed|deleted|erased|taken|off|dropped|gone) [off] <from> <list>",
        "(i want|i need|i'd like|i would like|get) {todo} (off|off of|out of) LIST",
        "(make sure|ensure) [that] {todo} (is|are) (not|off|removed|deleted) [off] <from> <list>",
        "{todo} (is|are) (no longer|not) (needed|necessary|required) <onto> <list> [<now>]",
        "let LIST no longer have {todo}",
        "{todo} needs (removing|deleting|erasing|taking) [off] <from> <list>",
        "(can|could|would|will) {todo} be (removed|deleted|erased|taken|dropped|"
        "struck) [off] <from> <list>",
        "{todo} (shouldn't|should not|doesn't have to|does not have to|needn't) be <onto> <list> "
        "[<now>]",
        "[(forget|never mind) [about]] {todo} [(is|are) (no longer|not) (needed|necessary|required|"
        "important) [<now>]] [,] <therefore> <remove> (it|that|this|them) <from> <list>",
        "<go to> LIST [,] [and|to|by] [then|please] <remove> {todo}",
        "{todo} (doesn't|does not|don't|do not|no longer) (need|needs|have|has) to be <onto> "
        "<list>",
        "<have done> [all] <did> [with] {todo} [,] <therefore> <remove> (it|that|this) <from> "
        "<list>",
        "{todo} (is|has been|was|are|have been|got) <done> [,] <therefore> <remove> (it|that|this|"
        "them) <from> <list>",
        "(don't|do not|i don't|i do not|no longer|i no longer) (need|have|want) to {todo} "
        "[,] <therefore> <remove> (it|that|this) <from> <list>",
    ],
    "complete": [
        "<finish> {known}",
        "<check> {todo} off",
        "<check> {todo} (off|off of|off from|from|off on|on|out on|out of|in) <list>",
        "<check> off {todo}",
        "(cross|strike|scratch) out {todo}",
        "(strike|cross|draw a line) through {todo}",
        "(strike|cross|draw a line) through {todo} <from> <list>",
        "(move|put) {todo} (to|in|into) [the] <done> [list|column|pile|ones]",
        "<check> (off|out) {todo} <from> <list>",
        "<check> {todo} <from> <list> [as|is] <done>",
        "(mark|set|flag|check|tag|list|label|show|make|update|put|marking|count) {todo} "
        "[as|to|is|as being] <done>",
        "(mark|set|flag|check|tag|list|label|show|make|update|put|count) {todo} "
        "[as|to|is|as being] <done> <from> <list>",
        "(mark|put|note|write) {todo} down as <done> [<from> <list>]",
        "(can|could|would|will) {todo} be (checked|crossed|ticked|marked|scratched) [off] "
        "<from> <list>",
        "(mark|set|flag|check|tag) (as|to) <done> [:] {todo}",
        "(mark|set|flag|check|tag) (as|to) <done> <from> <list> [:] {todo}",
        "(mark|check|tick) TODO {todo}",
        "<finish> (the|my) {todo} (task|todo|chore|to do|to do item|TODO)",
        "<check> off (the|my) {todo} (task|todo|chore|to do|to do item|TODO)",
        "{todo} (is|has been|was|are|have been) <done> [,] <therefore> <check> (it|that|this|them) "
        "(off|off <list>|[off] <from> <list>)",
        "{todo} (is|has been|was|are|have been) <done> [,] <therefore> mark (it|that|this|them) "
        "(off|[as] <done>|[as] <done> <from> <list>)",
        "[<have done>] [all] <did> [with] {todo} [,] <therefore> <check> (it|that|this) (off|out|"
        "off <list>|[off] [as <done>] <from> <list>)",
        "[<have done>] [all] <did> [with] {todo} [,] <therefore> mark (it|that|this) ([as] <done>|"
        "[as] <done> <from> <list>)",
        "<finish> TODO {todo}",
        "<finish> to do {todo}",
        "<finish> TODO <about> {todo}",
        "<finish> {todo} <from> <list>",
        "<from> <list> [,] <check> off {todo}",
        "<from> <list> [,] mark {todo} [as|to] <done>",
        "<have done> [all] <did> [with] {todo} <from> <list>",
        "<have done> [all] <did> [with] TODO {todo}",
        "[the|my] TODO {todo} (is|has been|was|has been all) <done>",
        "[the|my] TODO {todo} (is|has been|was) <done> <from> <list>",
        "<check> off {todo} <from> <list> (as|is) <done>",
        "(cross|strike|scratch|tick|check|mark) off {todo} (as|is) <done>",
        "(mark|set|flag) TODO {todo} [as|to] <done>",
        "(mark|set|flag) TODO <about> {todo} [as|to] <done>",
        "(put|place|add|make|draw) a (check|check mark|checkmark|tick|tick mark|line|x) "
        "(next to|by|beside|through|on|for|against|in front of|over) {todo}",
        "(put|place|add|make|draw) a (check|check mark|checkmark|tick|tick mark|line|x) "
        "(next to|by|beside|through|on|for|against|in front of|over) {todo} <from> <list>",
        "<go to> LIST [,] [and|to|by] [then|please] <check> [off] {todo}",
        "<go to> LIST [,] [and|to|by] [then|please] <check> {todo} off",
        "<go to> LIST [,] [and|to|by] [then|please] mark {todo} [as] <done>",
        "{todo} (is|has been|was|are) <done> <from> <list>",
        "(i want|i need|i'd like|get|have) {todo} (checked|crossed|ticked|marked|scratched) off",
        "(i want|i need|i'd like|get|have) {todo} "
        "(checked|crossed|ticked|marked|scratched) [off] <from> <list>",
    ],
    "update": [
        "<change> {known} <into> {text}",
        "<change> TODO {todo} <into> {text}",
        "set TODO {place} (to|to say|to read|as) {text}",
        "set {place} TODO (to|to say|to read|as) {text}",
        "<change> {place} TODO <into> {text}",
        "<change> TODO <about> {todo} <into> {text}",
        "<change> {todo} <onto> <list> <into> {text}",
        "<change> {todo} <into> {text} <from> <list>",
        "<from> <list> [,] <change> {todo} <into> {text}",
        "<change> the (text|name|title|description|wording) of [TODO] {todo} <into> {text}",
        "rename {todo} (to|into|as) {text}",
        "TODO {todo} should (say|read|be) {text}",
    ],
    "get": [
        "<show> {known}",
        "<show> TODO {todo}",
        "<show> TODO <about> {todo}",
        "<show> TODO {todo} <from> <list>",
    ],
}

#: Sentences that only hold right after a clause about to-dos, and only for few and plain words.
ELLIPTIC_TEMPLATES = {
    "add": ["(add|include) {few}", "(add|put) {few} (to|on|in) it"],
    "list": [
        "<i wonder> {item} (is|are|was|were) <there now>",
        "<i wonder> <have i> [<got>] {item} <there now>",
        "<i wonder> (i|we) [have|had|already|did] [<got>] {item} <there now>",
        "<there> {item} <there now>",
    ],
    "delete": [
        "(remove|delete|erase) {few}",
        "take {few} off",
        "<remove> {todo} (from|off|off of) it",
    ],
    "complete": [
        "(complete|finish|mark off) {few}",
        "<check> {todo} (off|off of|from) it",
        "<check> off {todo} (on|from) it",
    ],
}


#: Words for all that was listed.
ALL_OF_THEM = phrase_set(
    [
        "(them|these|those) [all|both]|[all|each|every one] of (them|these|those)|all (these|those)"
        "|(these|those) (todos|tasks|items|ones|chores|to dos|TODOS)",
        "all|everything|every one|all of it|the lot|they [all]",
    ]
)
#: The same where they are two.
BOTH = phrase_set(["both [of] [them|these|those|todos|tasks|items|TODOS]|(them|they) both"])

#: Words for one or some of what was listed, by their place.
PLACES = phrase_set(
    [
        "[the] (first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last|latest|"
        "newest|oldest|1 st|2 nd|3 rd) [two|three|few|2|3] "
        "(one|ones|todo|task|item|result|value|todos|tasks|items|to do)",
        "[the] (first|second|third|fourth|fifth|last)",
        "(todo|task|item|number|TODO) [number|#] (1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19)",
    ]
)

#: A wish that a value goes on the list: "i need that on my list" does not ask to see it.
WISHES = phrase_set(
    ["((i|we) [really|also] (need|want|would like)|(i'd|we'd) like|keep|have|get) (it|that|this)"]
)

#: Sentences as those of `todo_templates`. `{known}` is a to-do named by its place, or by "it", and
#: `{gone}` is one that was deleted.
AFTER_TEMPLATES = {
    "add": [
        "(add|put|bring|place) {gone} back [<onto> <list>]",
        "(restore|undelete|readd) {gone}",
        "<add> {gone} again",
    ],
    "complete": [
        "<have done> [all] <did> [with] {known}",
        "(done|finished|through) with {known}",
        "{known} (is|are|was|were|has been|have been) [all|now|both] <done> [now|already]",
    ],
    "update": ["{known} should (say|read|be) {text}", "make {known} (say|read) {text}"],
}

#: A whole clause that says that the to-do is done.
SAID_DONE = phrase_set(
    [
        "(it's|that's|it is|that is|this is|it was|that was|that one's|this one's|it has been) "
        "[all|now|already] <done> [now|already|too]"
    ],
    CLASSES,
)

#: A whole clause before another by which a person corrects what was said.
SECOND_THOUGHTS = phrase_set(
    ["no|nope|nah|wait|oops|hold on|on second thought|actually no|no wait|wait no"]
)


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
