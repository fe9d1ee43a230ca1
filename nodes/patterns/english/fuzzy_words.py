"""The words of the fuzzy reading of to-dos: what each verb does to a list."""

from nodes.patterns.grammar.phrases import phrase_set, table, word_set

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
