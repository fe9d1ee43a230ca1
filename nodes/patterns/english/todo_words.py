"""The words of to-dos: under the names that templates use, and by what each verb does to a list.

The latter are for the fuzzy reading, which takes what no sentence fits by its words alone.
"""

from nodes.patterns.grammar.phrases import phrase_set, table, word_set

#: What ends a request right after the name of a list, where no word can belong to a to-do any
#: more.
AFTER_LIST = [
    "[for] one more time|once more|once again|one last time|again|real quick|really quick|quickly|"
    "real fast|before i forget|for me|first|too|as well|also|right away|asap|immediately|"
    "[i think|i guess]|(like|as) i (asked|said|wanted)|as requested|if you could be so kind|for "
    "(today's|this) (work|chores)",
]


CLASSES = {
    "list": ["(LIST|TODOS) [[,] <after list>]"],
    "after list": AFTER_LIST,
    "add": [
        "add|put|place|insert|include|enter|write|jot|jot down|write down|note|note down|log|"
        "record|append|stick|throw|pop|slap|set|get|save|tack|tack on|drop|list|input|schedule|"
        "put down|mark down|file|attach|post|register|queue|queue up|pencil in|create|"
        "adding|putting|including|placing|toss|type|move|store|plug|chuck|pencil|slot|tuck|squeeze|"
        "fit|hang|pin|scribble|scribble down|write in|note in|make a note of|fling|paste|sneak|get"
    ],
    "create": [
        "add|create|make|new|add new|create new|make new|insert|enter|put|put down|write|"
        "write down|jot down|note|log|record|save|set|set up|start|open|register|give me|put in|"
        "adding|creating|making|schedule|set me|make me"
    ],
    "onto": [
        "to|on|onto|in|into|on to|in to|under|for|inside|"
        "(to|at|on|onto|in) the (end|bottom|back) of"
    ],
    "from": ["from|off|off of|out of|of|on|in|off from|from off|away from|within"],
    "remove": [
        "remove|delete|erase|drop|discard|cancel|eliminate|clear|take|take off|take away|take out|"
        "get rid of|rid|strike|cut|pull|pull off|throw out|toss|trash|wipe|scrap|dump|purge|kill|"
        "yank|zap|nuke|chuck|rip|pluck|knock off|scrub|getting rid of|x|"
        "removing|deleting|taking|erasing|move|clear off|clear out|leave|forget|kick|exclude|"
        "remove remove|ditch|omit|subtract|lose|nix|knock|abolish|axe|bin|get|delete out|deduct"
    ],
    "surely remove": [
        "remove|delete|erase|discard|drop|get rid of|scrap|trash|ditch|cancel|clear|axe|nix"
    ],
    "check": [
        "check|cross|tick|mark|scratch|strike|checkmark|crossing|checking|ticking|scratching|x|"
        "marking|knock|score|striking"
    ],
    "finish": ["complete|finish|completing|finishing|close|resolve|accomplish|wrap up"],
    "done": [
        "done|complete|completed|finished|checked|checked off|ticked|ticked off|closed|"
        "crossed off|accomplished|resolved|taken care of|all done"
    ],
    "have done": [
        "i|i've|i have|we|we've|we have|i just|i already|i've already|i have already|i've just|"
        "i'm|i am|ive|just|finally|i finally|we finally|we just|already|we already|i think i",
    ],
    "did": [
        "did|done|finished|completed|accomplished|done with|finished with|through with|took care of"
    ],
    "change": [
        "change|rename|update|edit|modify|replace|reword|revise|alter|correct|rewrite|amend|"
        "switch|swap|changing"
    ],
    "into": ["to|into|with|for|to say|to read|to be|as|so it says|so that it says|by|to just say"],
    "called": [
        "to|for|called|named|titled|saying|that says|which says|that reads|about|of|labeled|"
        "labelled|to remind me to|reminding me to|that i (need|have) to|i (need|have) to|for me "
        "to|with the (text|title|name|description)|as follows|where i|:|-|,|to :|called :|named :"
    ],
    "about": ["of|called|named|titled|saying|that says|about|labeled|labelled|with|for|to|:|that"],
    "show": [
        "show|show me|get|get me|display|view|open|read|read me|see|look up|find|give me|pull up|"
        "tell me|tell me about|print|fetch|what is|what's|whats|let me see|details of|retrieve"
    ],
    "there": ["is|are|was|were|isn't|aren't|will|wasn't|weren't|has|had|does|did|ain't"],
    "is it so": ["(am i|is it) (right|correct|true|sure) [that]|is it (true|right) [that]"],
    "have i": [
        "(did|have|do|had|has|does) (i|we|you|anyone|somebody|someone)",
        "(did|have|do|had|didn't|haven't|don't) i (already|ever|even|also|currently|still)",
        "didn't i|haven't i|don't i|don't i already",
    ],
    "got": [
        "have|got|put|add|added|include|included|write|written|need|had|place|placed|set|enter"
    ],
    "whether": ["if|whether|that"],
    "i wonder": [
        "(check|see|look|find out|verify|confirm|tell me|let me know|check and see|check to see|"
        "know|make sure|double check|look to see|look and see|curious|do you know|do you see|"
        "i wonder|wondering|just wondering|(i'm|i was|i am) wondering|remind me|i forget|i forgot|"
        "i (can't|don't) remember|i don't know) <whether>",
        "(confirm|verify) [that]",
        "(check|see|search|find|look for|look up) [on]",
        "<is it so>",
        "(i'm|i am) (sure|pretty sure|certain|not sure|unsure|curious|checking|wondering) "
        "[<whether>]",
        "(i|we) (think|believe|thought|assume|hope|bet) [that]",
        "do (you|u) (know|see|remember|think) [<whether>]|any chance [that]",
    ],
    "there now": [
        "(on it|there|on there|in there|in it|listed|included|on that|among them) [<now>]"
    ],
    "have to": [
        "[also|still|ever] (supposed|scheduled|meant|going|planning|need|have|got|required|"
        "expected) [to]",
    ],
    "according to": ["according to|per|based on|by|as per|going by|on|from"],
    "with": ["have|include|contain|contains|has|hold|list|show|say|already have|includes"],
    "now": ["yet|already|now|today|too|anymore|any more|still|or not|right now|again|anywhere"],
    "was": ["added|put|placed|included|listed|already|currently|still|scheduled|written|coming up"],
    "i must": [
        "(i|we) [also|still|really] (need|have|must|want|should|gotta|ought|got) [to] [remember|"
        "be] [to]",
        "(i|we) (can't|cannot|mustn't|shouldn't|must not|better not) forget to|(i|we|i'd) better",
        "(don't|do not|never) let me forget to|(i|we) [almost|nearly] forgot to",
        "(i'm|i am) (going|supposed|planning) to",
        "(i've|i have) got to",
    ],
    "therefore": [
        "[so|and|then] [please|can you|could you|would you|will you|go ahead and|you can] [please|"
        "also|just]",
    ],
    "go to": [
        "(go|go back|go on|go in|look|get) (to|into|in|on|through|at)|open [up]|access|pull up|"
        "find|edit|update|check|use|bring up|in|on|get into"
    ],
    "also": ["please|also|now|just|then|kindly|and"],
}

#: What leads to the words of a new to-do, and away from them.
TEXT_FRONTS = phrase_set(
    [
        "TODO (,|:|-)",
        "me|us|also|(for|to) (me|us)",
        "for (today|tonight|tomorrow|this week|this weekend|the day) (:|,|-)",
        "that (i|we) (need|have|want|must|should|ought|got) [to]",
        "(a|the) (task|chore|job|reminder) (of|for|to)",
        "TODO (of|for|to)",
    ]
)
TEXT_ENDS = phrase_set(
    [
        "to be",
        "added [to it]",
        "as [a|an] TODO",
        "as (a|the|my) [next|new|first|last] (thing|item|task|one|entry|chore)",
    ]
)

#: The same for a to-do that is on the list already.
TODO_FRONTS = phrase_set(
    [
        "that [(i|we) (did|finished|completed|have (done|finished|completed)|was done with)]",
        "[the] (task|chore|job|reminder|entry|item) [of|for|to|called|about]",
        "TODO [of|for|to|called|about]",
        "down",
    ]
)
TODO_ENDS = phrase_set(
    ["TODO", "item|task|entry|chore|todo", "as", "as [a|an] TODO", "anymore|any more"]
)
LONGEST_END = 4

# Words that say in which state a to-do is, or when it is due, and so are no words for one.

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


ADDING = word_set(
    "add adding put putting place placing insert inserting include including append appending",
    "attach write writing jot jotting note noting record recording log logging register throw",
    "throwing stick sticking pop popping pencil pen enter entering set save store slide tack get",
    "bung chuck shove whack drop load loading file slap stash list toss plonk plop lob sling",
    "squeeze slip chalk type key input push stuff smack park bang dump dash scribble scrawl fling",
    "schedule move transfer queue upload inscribe incorporate tag pin hang",
    "ad addd aad adda insret inlcude lodge docket slot mark plug fit introduce",
)
#: Taking away, with "off" or "from" before the list.
TAKING = word_set(
    "remove removing delete deleting take taking erase erasing drop dropping ditch ditching kick",
    "cancel clear clearing throw pull pulling eliminate wipe wiping get getting rid cut discard",
    "scrap scrub trash toss dump chuck bin axe nix nuke zap yank pluck rip lose knock move purge",
    "omit exclude bump boot chop expunge dismiss withdraw strip shave whip lift rub rid",
    "kill banish oust subtract release retract void unlist deduct snip remvoe delte delet",
    "shift",
)
#: Taking away, whatever stands before the list.
SURELY_TAKING = word_set("remove removing delete deleting erase erasing discard cancel eliminate")
#: Ticking off, with "off" or "from" before the list.
TICKING = word_set(
    "check checking cross crossing tick ticking mark marking strike striking scratch scratching",
    "score line x",
)
FINISHING = word_set("complete completing finish finishing close")

#: Verbs of these classes that hardly ever begin a to-do itself.
BREEZY = word_set(
    "bung chuck shove whack plonk plop lob sling slap bang smack dash stuff stash pencil jot tack",
    "nix axe ditch scrap kick nuke zap boot stick pop inscribe append strip kill pluck yank whip",
)

OFF = "off"
ONTO = "onto"
#: What stands before the name of the list.
PLACES = table(
    {
        "off [of|from]|from [off]|out of|out from|away from|of off": OFF,
        "to|on|onto|on to|in|into|in to|upon|onto|unto|inside|under|at": ONTO,
        "(to|at|on|onto|in) the (end|bottom|back) of": ONTO,
    }
)
LONGEST_PLACE = 4

#: What may stand between a verb and the item without belonging to it.
FRONTS = phrase_set(
    [
        "(for|to) (me|us)|me|us|down|in|up|off|out|away|please|pls|also|just|:|,|-|now|rid of|"
        "on [for me]|another|too",
        "(this|the following|these|one more|another) (thing|item|task|todo|things|items|tasks)",
        "[the] (task|chore|job|reminder|entry|item|note) (of|to|for|called|named|about|that says)|"
        "TODO (of|to|for|called|named|about|"
        "that says|:|,)|that (i|we) (need|have|want|must|should) "
        "[to]|(called|named|saying)",
    ]
)
#: Between an item and the place, or after an item at the end.
ENDS = word_set("please pls plz down off out also too again now , : - . ! ? ; quickly real quick")

#: A yes-or-no question: what is asked about may be anything.
QUESTIONS = phrase_set(
    [
        "is|are|was|were|isn't|aren't|am|does|did|didn't|has|hasn't",
        "(do|have|had|don't|haven't) (i|we|you)",
        "whether [i|we|my|the|there]",
        "(see|check|tell me|tell us|know|find out|look|enquire|inquire|ask|confirm|verify|let me "
        "know|remind me|make sure|double check|figure out|wondering|wonder|curious) "
        "(if|whether|that)",
        "(tell me|confirm|verify) (it's|it is)",
        "(you|u|ya) (see|got|have|find|spot) (anything|something|any) (about|like|regarding|for)",
        "(anything|something) (about|like|regarding)|any (sign|mention|trace) of",
        "got [any|anything]",
        "(i|we) (feel|think|believe|guess|suppose|reckon|swear|thought|bet|hope) [like|that] [i|"
        "we] [already|have|had|'ve]",
    ]
)
#: A statement that an end makes a question: "we got tea on the list or what".
ASSERTING = phrase_set(
    ["(i|we|i've|we've) [already|just|have|did] [put|got|added|have|included|wrote|write|add]|got"]
)
ASKING_ENDS = phrase_set(
    [
        "[already|yet|now|,] (or (not|what|nah|no|nope|naw)|right|yes|no|yeah|yet|eh|huh|innit|"
        "correct|is it [there]|isn't it|ain't it|or did i not|is that right|am i right|didn't i|"
        "don't i|haven't i) [?]",
        "[already|yet|now|too] ?",
    ]
)

#: More words with which the list itself is asked for; see `list_words.py`.
SHOWING_MORE = word_set(
    "overview squiz gander peep rundown summary gimme lemme reed reading spit rattle holler shout",
    "enquire inquire status state stand stands standing outstanding pointed jotted logged stored",
    "contents content whatcha wotcha what've whatve what'd whats wats wat show shows showed",
    "hearing",
    "seeing viewing checking looking bring bringing everything anything concerning regarding about",
    "current written noted entered keeping kept sits sitting lined piled queued appears appear",
    "lies left pending unfinished quick brief short full entire whole good bad news peaceful",
    "lovely little nice proper peruse browse inspect glimpse through thru run go going let's lets",
    "make made have having fetch load print display list recite got get do does did should see",
    "today so far they they've 've deh pon them which and or of what",
    "talk lay hit me us mi meh ma reckon remains remaining according accoring accordin all still",
    "us up on out loud aloud slowly clearly in from for to look have is are am was",
    "confirm verify see check tell read view contents o o' ' mine ours items item it its",
    "whole stuff things thing happening contain contains available busy wanna need want know like",
    "you needed said told wanted showing supposed meant gotta hafta need",
    "needing complete accomplish finish yet remind",
)
#: Of these one must be there.
ASKING_MORE = word_set(
    "overview squiz gander peep gimme reed spit status contents what've whats what's wat whatcha",
    "hear hearing seeing viewing enquire inquire rundown summary peruse browse inspect glimpse",
    "what'd confirm outstanding what which",
)
