"""How people ask for the six to-do operations: one line a sentence, with `{slots}` for their words.

LIST, TODO and TODOS stand for a name of the list, of one to-do and of several (`list_names.py`).
A `{todo}` is one that is on the list already, `{text}` and `{items}` are the words of new ones.
"""

CLASSES = {
    "add": [
        "add|put|place|insert|include|enter|write|jot|jot down|write down|note|note down|log|record|"
        "append|stick|throw|pop|slap|set|get|have|save|tack|tack on|drop|list|input|schedule|"
        "put down|mark down|file|attach|post|register|queue|queue up|pencil in|create|make|keep|"
        "adding|putting|including|placing|toss|assign|update|type|remember|bring|move|store"
    ],
    "create": [
        "add|create|make|new|add new|create new|make new|insert|enter|put|put down|write|write down|"
        "jot down|note|log|record|save|set|set up|start|open|register|give me|i need|i want|"
        "i have|there is|put in|adding|creating|making|got|i've got|schedule|set me|make me"
    ],
    "onto": ["to|on|onto|in|into|on to|in to|at the (end|top|bottom) of|to the (end|top) of|under"],
    "from": ["from|off|off of|out of|of|on|in|off from|from off|away from|within"],
    "remove": [
        "remove|delete|erase|drop|discard|cancel|eliminate|clear|take|take off|take away|take out|"
        "get rid of|rid|strike|cut|pull|pull off|throw out|toss|trash|wipe|scrap|dump|purge|kill|"
        "removing|deleting|taking|erasing|move|clear off|clear out|leave|forget|kick|exclude|"
        "remove remove|ditch|omit|subtract|lose|nix|knock|abolish|axe|bin|get|delete out|deduct"
    ],
    "surely remove": ["remove|delete|erase|discard|drop|get rid of|scrap|trash|ditch|cancel|clear"],
    "check": [
        "check|cross|tick|mark|scratch|strike|checkmark|crossing|checking|ticking|scratching|x"
    ],
    "finish": ["complete|finish|completing|finishing|close|resolve|accomplish|wrap up"],
    "done": [
        "done|complete|completed|finished|checked|checked off|ticked|ticked off|closed|"
        "crossed off|accomplished|resolved|taken care of|all done"
    ],
    "have done": [
        "i|i've|i have|we|we've|we have|i just|i already|i've already|i have already|i've just|"
        "i'm|i am|ive",
    ],
    "did": [
        "did|done|finished|completed|accomplished|done with|finished with|through with|took care of"
    ],
    "change": [
        "change|rename|update|edit|modify|replace|reword|revise|alter|correct|rewrite|amend|switch|"
        "swap|changing|turn|make"
    ],
    "into": ["to|into|with|for|to say|to read|to be|as|so it says|so that it says|by|to just say"],
    "called": [
        "to|for|called|named|titled|saying|that says|which says|about|of|labeled|labelled|to remind"
        " me to|that i (need|have) to|i (need|have) to|as follows|for me to|reminding me to|with the"
        " (text|title|name|description)|where i|:|-|,|to :|called :|named :|that reads"
    ],
    "about": ["called|named|titled|saying|that says|about|labeled|labelled|with|for|to|:|-|that"],
    "show": [
        "show|show me|get|get me|display|view|open|read|read me|see|look up|find|give me|pull up|"
        "tell me|tell me about|print|fetch|what is|what's|whats|let me see|details of|retrieve"
    ],
    "there": ["is|are|was|were|isn't|aren't|will"],
    "have i": [
        "(did|have|do|had|has|does) (i|we|you|anyone|somebody|someone)",
        "(did|have|do|had|didn't|haven't|don't) i (already|ever|even|also|currently|still)",
        "didn't i|haven't i|don't i|don't i already",
    ],
    "got": ["have|got|put|add|added|include|included|write|written|need|had|place|placed|set|enter"],
    "whether": ["if|whether|that"],
    "i wonder": [
        "(check|see|look|find out|verify|confirm|tell me|let me know|check and see|check to see|"
        "know|make sure|double check|look to see|look and see|i wonder|i'm wondering|i forget|"
        "i forgot|i can't remember|i don't remember|i don't know|do you know|do you see|remind me)"
        " <whether>",
        "(check|see|search|find|look for|look up) [on]",
    ],
    "with": ["have|include|contain|contains|has|hold|list|show|say|already have|includes"],
    "now": ["yet|already|now|today|too|anymore|any more|still|or not|right now|again|anywhere"],
    "was": ["added|put|placed|included|listed|already|currently|still|scheduled|written|coming up"],
    "also": ["please|also|now|just|then|kindly|and"],
    "thing": ["TODO|number|#|no .|no|number #"],
    "note": ["TODO|reminder|note"],
}

#: `action: sentences`. Where several fit, the one with the most words of its own is taken.
FRAMES = {
    "add": [
        "<add> [down] [in] {text} <onto> LIST",
        "<add> {text} <onto> A_LIST of mine",
        "<add> {text} LIST",
        "<onto> LIST [,] [<also>] <add> [:] {text}",
        "<add> <onto> LIST [:|,|-] {text}",
        "LIST [:|,] [<also>] (add|put|insert|include|append|new) [:] {text}",
        "<create> TODO {text}",
        "<create> TODO <called> {text}",
        "<create> to do [:|,|-] {text}",
        "<create> TODO {text} <onto> LIST",
        "<create> TODO <called> {text} <onto> LIST",
        "<create> TODO <onto> LIST [<called>] {text}",
        "<create> TODO <onto> LIST <called> {text}",
        "TODO : {text}",
        "to do : {text}",
        "new TODO {text}",
        "<add> {text} as [a|my|the] TODO",
        "<add> {text} as [a|my|the] TODO <onto> LIST",
        "(i need|i want|i'd like|i would like|i have|we need|i'll need|i must have|have|get|i needed)"
        " {text} [to be] (put|added|placed|included|written|listed|entered) [down] <onto> LIST",
        "(i need|i want|i'd like|i would like|we need|i'll need) {text} <onto> LIST",
        "{text} (needs to|should|must|has to|ought to|can|could|may|will) "
        "(be|go|be put|be added|be placed|get added|be included|get put) <onto> LIST",
        "LIST (needs|should have|must have|needs to have|should include|needs to include|"
        "has to have|must include) {text}",
        "(make sure|ensure|be sure|see to it) [that] {text} (is|are|gets|goes|get|gets put|"
        "is put|is added|gets added) <onto> LIST",
        "remind me [that i need] to {text}",
        "remind me [that i need] to {text} by (putting|adding) it <onto> LIST",
        "(set|create|add|make) [me] a reminder to {text}",
        "let LIST (have|include) {text}",
        "i need to remember to {text} , <add> (it|that) <onto> LIST",
        "i [also] (need to|have to|must|want to|should|gotta|ought to) {text} [,|.] "
        "(so|and|so please|please|can you|could you) <add> (it|that|this) <onto> LIST",
    ],
    "add several": [
        "<create> TODOS {items}",
        "<create> TODOS <called> {items}",
        "<create> TODOS {items} <onto> LIST",
        "<create> TODOS <onto> LIST [:|,|-] {items}",
        "<create> TODOS <called> {items} <onto> LIST",
        "<add> (these|the following|the following things|these things|all of these|both)"
        " <onto> LIST [:|,|-] {items}",
        "<add> (the following|these|both|all of these) [things] [:] {items} <onto> LIST",
        "<add> <onto> LIST [the following|these|these things|the following things] : {items}",
        "TODOS : {items}",
    ],
    "delete": [
        "<remove> {todo} <from> LIST",
        "<remove> <from> LIST [:|,] {todo}",
        "<from> LIST [,] [<also>] <remove> [off] {todo}",
        "LIST [:|,] (remove|delete|erase|take off|drop) {todo}",
        "<surely remove> TODO {todo}",
        "<surely remove> TODO <about> {todo}",
        "<remove> TODO <about> {todo} <from> LIST",
        "<remove> TODO {todo} <from> LIST",
        "<remove> TODO <from> LIST <about> {todo}",
        "(i don't|i do not|i no longer|we don't|i dont) (need|want|have) [to] {todo} <onto> LIST",
        "LIST (doesn't|does not|no longer|shouldn't) (need|needs|have|include) [to have] {todo}",
        "{todo} (can|should|could|needs to|may|must|has to) "
        "(be|come|go) (removed|deleted|erased|taken|off|dropped|struck) [off] <from> LIST",
        "{todo} (can|should|could|may|needs to) (come|go) <from> LIST",
        "(i want|i need|i'd like|i would like|have|get) {todo} "
        "(removed|deleted|erased|taken|off|dropped|gone) [off] <from> LIST",
        "(i want|i need|i'd like|i would like|get) {todo} (off|off of|out of) LIST",
        "(make sure|ensure) [that] {todo} (is|are) (not|off|removed|deleted) [off] <from> LIST",
        "let LIST no longer have {todo}",
    ],
    "complete": [
        "<check> {todo} off",
        "<check> {todo} (off|off of|off from|from|off on|on|out on|out of|in) LIST",
        "<check> off {todo}",
        "<check> (off|out) {todo} <from> LIST",
        "<check> {todo} <from> LIST [as|is] <done>",
        "(mark|set|flag|check|tag|list|label|show|make|update|put|marking|count) {todo} "
        "[as|to|is|as being] <done>",
        "(mark|set|flag|check|tag|list|label|show|make|update|put|count) {todo} "
        "[as|to|is|as being] <done> <from> LIST",
        "(mark|set|flag|check|tag) (as|to) <done> [:] {todo}",
        "(mark|set|flag|check|tag) (as|to) <done> <from> LIST [:] {todo}",
        "(mark|check|tick) TODO {todo}",
        "<finish> TODO {todo}",
        "<finish> TODO <about> {todo}",
        "<finish> {todo} <from> LIST",
        "<from> LIST [,] <check> off {todo}",
        "<from> LIST [,] mark {todo} [as|to] <done>",
        "<have done> [all] <did> [with] {todo} <from> LIST",
        "<have done> [all] <did> [with] TODO {todo}",
        "TODO {todo} is <done>",
        "{todo} (is|has been|was|are) <done> <from> LIST",
        "{todo} (is|has been|was|are) <done> [,] [so|and] <check> it off LIST",
        "(i want|i need|i'd like|get|have) {todo} (checked|crossed|ticked|marked|scratched) off",
        "(i want|i need|i'd like|get|have) {todo} "
        "(checked|crossed|ticked|marked|scratched) [off] <from> LIST",
    ],
    "update": [
        "<change> TODO {todo} <into> {text}",
        "<change> TODO <about> {todo} <into> {text}",
        "<change> {todo} <onto> LIST <into> {text}",
        "<change> {todo} <into> {text} <from> LIST",
        "<from> LIST [,] <change> {todo} <into> {text}",
        "<change> the (text|name|title|description|wording) of [TODO] {todo} <into> {text}",
        "rename {todo} (to|into|as) {text}",
        "TODO {todo} should (say|read|be) {text}",
    ],
    "get": [
        "<show> TODO {todo}",
        "<show> TODO <about> {todo}",
        "<show> TODO {todo} <from> LIST",
        "<show> {todo} TODO",
    ],
    "list": [
        "<there> {item} [<was>] <onto> LIST [<now>]",
        "<there> {item} (on|in|part of|one of) TODOS",
        "<there> there {item} <onto> LIST [<now>]",
        "<have i> [<got>] {item} [<was>] <onto> LIST [<now>]",
        "(does|do|did|has|will|is) LIST <with> {item} [<now>]",
        "(does|do|did|has|will) LIST [currently|already|still|even] <with> {item} [on|in] [it] "
        "[<now>]",
        "<i wonder> {item} (is|are|was|were|has been) [<was>] <onto> LIST [<now>]",
        "<i wonder> <have i> [<got>] {item} [<was>] <onto> LIST [<now>]",
        "<i wonder> (i|we) [have|had|already|did] [<got>] {item} [<was>] <onto> LIST [<now>]",
        "<i wonder> [there is|there's|there are] {item} <onto> LIST [<now>]",
        "<i wonder> LIST (has|includes|contains|have|shows) {item} [<now>]",
        "LIST (has|includes|contains) {item} [,] [right|doesn't it|correct]",
        "{item} (is|are) [already] <onto> LIST [,] (right|correct|isn't it|yes|is it)",
    ],
}

#: Words that may surround LIST or TODOS when a list is asked for, in any order.
SHOWING = frozenset(
    """
    what what's whats what're which whatever is are was were be been am 's s do does did have has
    had got get getting gets on in at from of for with by to the a an my our all everything anything
    any every each entire whole complete full current latest updated now today tomorrow tonight
    currently right again already so far still left remaining open pending outstanding unfinished
    incomplete undone completed done finished active me us i i've i'm i'd we we've our mine there
    there's that this these those it its items item things thing stuff tasks task todos todo contents
    content entries entry show showing see view display list lists listed listing read reading hear
    tell give say recite repeat pull bring up out over through aloud loud open check review print
    fetch retrieve access examine look looks looking like go going back find check checking know
    wonder wondering want need want wanna would recall remind remember refresh memory summarize
    summary iterate enumerate name describe explain detail present provide produce return output
    contain contains containing include includes included including consist consists hold holds
    say says happening next first upcoming coming planned scheduled due put added add written wrote
    set made saved stored noted noting down how many much number count total amount long big next
    about inform share update run rundown down see let's let real quick quickly really just please
    thanks different various exactly kind kinds type types sort sorts else other more yet ever
    actually currently up-to-date full-length supposed must should need needs accomplish finish
    work day week agenda plan plans chores duties and also then can ready status located call
    bring load pop screen here need's check's using verbally speak talk walk spell text
    """.split()
)

#: Of these words one must be there, or nothing besides the name of the list itself.
ASKING = frozenset(
    """
    what what's whats what're which show see view display list read hear tell give say recite repeat
    pull bring check review print fetch retrieve access examine look looks find know wonder wondering
    summarize summary iterate enumerate name describe detail present provide return output contain
    contains include includes how inform share remind recall refresh open get is are do have got
    rundown run go call load explain speak i need want
    """.split()
)

#: Words that never belong to a wish to see the list, however polite the rest is.
STATUS = {
    "open": frozenset(
        "open pending outstanding unfinished incomplete undone left remaining active".split()
    ),
    "completed": frozenset("completed done finished".split()),
}

#: Asking for the list without naming it.
IMPLICIT_LISTS = [
    "what (is|'s|s) (left|still left|remaining) (to do|to be done) [today|now|for today]",
    "(what's|whats) (left|still left|remaining) (to do|to be done) [today|now|for today]",
    "what do i [still] (have|need) [left] to do [today|now|for today]",
    "what (items|things|tasks|chores|todos) do i [still] (have|need) [left] to do [today|now]",
    "what have i got [left] to do [today|now]",
    "what (else|more) (do i|should i|must i) (have|need) to do [today|now]",
]

#: Items that name nothing.
VAGUE = frozenset(
    """
    something anything thing things this that it them these those an a the new one item items todo
    task stuff another some more everything all list lists entry following and to by
    """.split()
)
