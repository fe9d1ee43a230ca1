"""What people say around any request: how they begin and end it, and what asks for nothing itself.

The latter is the closed class of the fuzzy readings: a word that is neither here nor part of what
is asked for makes them refuse. Negations, conditions, units and things to act on must never be
added.
"""

from collections.abc import Sequence, Set

from nodes.patterns.grammar.numbers import read_number
from nodes.patterns.grammar.phrases import PhraseTable, phrase_set, word_set
from nodes.patterns.grammar.words import is_shortened

CLASSES = {
    "you": ["you", "u", "ya"],
    "could": ["can", "could", "would", "will", "can't", "couldn't", "won't", "wouldn't", "cud"],
    "i want": [
        "i (need|want|wish|would like|would love|'d like|have|really want|really need)",
        "(i'd|i'd really|id) (like|love)",
        "i (do|just|also) (need|want)",
        "(we|we'd) (need|want|would like|like)",
        "i'm going to need",
    ],
    "friend": [
        "there|again|everyone|dear|buddy|friend|my friend|man|dude|bro|mate|pal|sir|honey|sweetie|"
        "darling|love|alexa|siri|cortana|google|computer|jarvis|assistant|bixby|olly|robot|bot|ai|"
        "chat|genie|helper"
    ],
    "math": ["math|maths|arithmetic|numbers|sums|calculations|mental math"],
    "it": ["it|this|that|these|those|them"],
    "moment": ["chance|moment|minute|min|second|sec|time|spare moment|free moment"],
}

#: Taken off the front of a clause, again and again.
OPENING_LINES = [
    "please|pls|plz|kindly|just|quickly|simply",
    "(hey|hi|hello|yo|greetings|howdy|hiya|heya) [there|again] [<friend>]|good (morning|"
    "afternoon|evening)",
    "(ok|okay) <friend>|alexa|siri|cortana|google|computer|assistant|jarvis|bixby|olly",
    "ok|okay|alright|all right|well|so|oh|um|uh|yes|yeah|yep|sure|right|great|now|actually|ah|"
    "hmm|hm|er|erm|umm|anyway|anyways|listen|possibly|maybe|perhaps|quick|real quick|very "
    "quickly|good|cool|fine|perfect|awesome|thanks|thank you|sorry|excuse me|pardon me|so "
    "like|again",
    "first|firstly|first of all|second|secondly|third|thirdly|lastly|finally|also|then|next",
    "and|plus|but|,|!|:|*|-",
    "by the way|btw|one more thing|one last thing|another thing|one other thing|real fast",
    "(one more time|once more|once again|one more)",
    "(when|whenever|if|as soon as) <you> (get|have|got|find) (a|the|some|one|any) <moment>",
    "(before|in case|lest) i forget|while i (think of|remember) it|while (i'm|i am) thinking of it",
    "while <you> (are|'re) at it|while (you're|ur|you are) at it",
    "(there is|there's|i have|i see|i've got) (no|not any) (need|use|reason) for <it> "
    "[anymore|any more|any longer|now]",
    "(i don't|i no longer|we don't|i do not|don't) (need|want) <it> [anymore|any more|any longer]",
    "i (changed my mind|made a mistake|messed up)|i'm (busy|in a hurry|lazy|tired)",
    "(a quick|quick|one quick|i have a|i have a quick|i've got a|i've got a quick|got a|"
    "here's a|i got a|just a quick|one|a|another|simple|easy) [<math>] (question|problem|one|"
    "request) [for <you>]",
    "<math> (question|problem|time|help)|question (for|to) <you>|question",
    "(can|could|will|would) <you> (do|solve|help me with|help with|help me do) "
    "[some|a little|a bit of|my|a] [quick|simple|basic] <math> [problem|question] [for me]",
    "(let's|i need to|i want to|time to|i need you to|please) (do|try) (some|a little|a bit "
    "of) [quick] <math>",
    "i (need|want|would like) [some|a little|a bit of] [help|assistance] with (<math>|my "
    "<math> homework|my homework|a <math> (problem|question)|a (problem|question|"
    "calculation))",
    "(i'm|i am) [so|really|very|too|just] (bad|terrible|awful|horrible|not good|no good|"
    "hopeless|rubbish|stuck) (at|with) [<math>|my <math>]",
    "i (suck|am stuck) (at|with|on) [<math>]",
    "here's (one|another one|another|a good one) [for <you>]|try this [one]|riddle me this",
    "help me out [here]|give me a hand [here|with this]|<could> <you> help me [out]",
    "my (kid|kids|son|daughter|teacher|boss|wife|husband|friend|mom|dad|homework|brother|"
    "sister) (asks|asked|wants to know|is asking|says|needs to know|wonders) [me]",
    "i (keep forgetting|always forget|forgot|forget|don't know|have no idea|am not sure|"
    "never remember|can never remember)|(i'm|i am) not sure",
    "(do|would|did|might) <you> [happen to] know|any (idea|clue)|any chance <you> <could>",
    "could i (trouble|bother) <you> (to|for)|(can|could|may|might) i (ask|get|have) <you> to",
    "(i am|i'm|i was) (asking|hoping) [that] <you> (to|could|can|would|will)|i ask <you> to",
    "if (it's|it is|that's) (possible|okay|ok|alright|fine|not too much trouble|no trouble)",
    "if (possible|<you> would be so kind|<you> would be so nice)",
    "is there (a|any) (way|chance) [that] (<you> (can|could)|for <you> to|to)",
    "be a (dear|darling|doll|pal|sweetheart|sweetie|good boy|good bot|friend) and|be (nice|so "
    "nice|so good) (and|as to)|be a (dear|darling|pal|sweetheart)",
    "(it's|it is|it has been|that's|it was) (done|over|finished|completed)",
    "<could> <you>",
    "<you> (can|could|may|should|need to|must|have to|might)",
    "(can|could|may|might|shall) (i|we)",
    "<i want> [for] <you> [to]",
    "<i want> to",
    "(need|want|have|would like|looking|trying|about) to|[i] (wanna|gotta)",
    "(i'm|i am) (trying|looking|going|hoping|ready) to|i've got to|i must|we must",
    "i (should|must|shall)|i [also] (forgot|meant) to|i (almost|nearly) forgot|i forgot",
    "i (can't|cannot|don't|do not) (remember|recall|know)",
    "(look|check|take a look|have a look|go in|log in|hurry up) and",
    "let me|lemme|allow me to|time to|it's time to|i'll|i will",
    "(i'd|i would) (appreciate|love|like) it if <you> (can|could|would)",
    "sorry to (bother|disturb|trouble) <you> [again] [but]",
    "(it would|it'd) be (great|nice|good|helpful|awesome) if <you> (can|could|would)",
    "i (was wondering|wonder) if <you> (can|could|would)",
    "do <you> (think|suppose) <you> (can|could)",
    "(is|would) it (be|) possible (to|for <you> to)",
    "are <you> able to",
    "would <you> (mind|be able to|be willing to|be so kind as to|like to)",
    "be so kind as to",
    "if <you> (can|could|would|don't mind|please)",
    "go ahead and|go and|go on and|come on and",
    "be sure (to|and|you|that you)",
    "make sure (to|and|you|that you)",
    "don't forget to|do not forget to|remember to|try to|feel free to",
    "help [me] [to]",
    "help remind me that i need to",
    "i need help to",
    "let's|let us|lets",
    "(open|use|using|launch|start|pull up|bring up|with|in|on|go to|get) [up] (the|your|my|a) "
    "calculator [app] [and|to|for]",
    "do me a (favor|favour|solid) [and]|i need a (favor|favour)",
]
OPENINGS = phrase_set(OPENING_LINES, CLASSES)

#: Taken off the end of a clause; few, because what ends a clause may belong to a to-do.
CLOSING_LINES = [
    "please|pls|plz",
    "thanks|thank you|thankyou|thx|cheers|much appreciated|i'd appreciate it",
    "(thanks|thank you) (a lot|so much|very much|a bunch|a million|kindly|in advance|again|"
    "<friend>)",
    ", <friend>",
    "(when|whenever) <you> (get|have|got|find) (a|the|some) <moment>",
    "if (it's|that's|that is|it is) (ok|okay|alright|possible|no trouble|not too much trouble)",
    "if possible|(would|will|could|can) <you> please|for me please|while you're at it",
    "if <you> (can|could|would|don't mind|please|would please)",
    "(would|will|could|can) <you>",
    "ok|okay",
    ".|!|?|,|;|:",
]
CLOSINGS = phrase_set(CLOSING_LINES, CLASSES)


_LONGEST_CLOSING = 7
_SAYING = frozenset({"say", "says", "saying"})


def take_off_opening(words: list[str], start: int, end: int) -> int:
    """Where the request itself begins; a minus before a number is part of it."""
    begin = OPENINGS.skip(words, start, end)
    if start < begin < end and words[begin - 1] == "-" and read_number(words, begin, end):
        return begin - 1
    return begin


def take_off_closing(words: list[str], start: int, end: int) -> int:
    """Where the request itself ends; "to say please" ends with what is to be said."""
    whole = end
    closed = _without_closings(words, start, end)
    return whole if closed < end and closed > start and words[closed - 1] in _SAYING else closed


def _without_closings(words: list[str], start: int, end: int) -> int:
    while end > start:
        if words[end - 1] == "." and end - start > 1 and is_shortened(words[end - 2]):
            return end
        for length in range(min(_LONGEST_CLOSING, end - start), 0, -1):
            found = CLOSINGS.longest(words, end - length, end)
            if found is not None and found[0] == end:
                end -= length
                break
        else:
            return end
    return end


# Words that ask for nothing themselves: a closed class.


#: Calls, sighs and hedges.
INTERJECTIONS = word_set(
    "aaah abeg ach ah aha ahem ahh aight aiyah aiyo alas alright alrighty amen anyhow anyway",
    "anyways argh arre aw awright aww aye ayo ayup ayy bah basically blast bleh blimey bloody boo",
    "boy bro btw bugger cheerio cheers cmon cor crap crikey dammit damn dang darn dear drat dude",
    "eek eh er erm ey eyo fam fine flipping freaking gah gawd gee geez golly goodness gosh",
    "gracious great ha hah haha hallo heavens heck hell hello hey heya heyo hi hii hiii hiya hm",
    "hmm hmmm honestly hoo hooray howdy huh innit jeepers jeez kay kk kthx la lah leh lol lor",
    "lord man meh mercy mhm mm mmm my nah nay nope nuh oh ohh oho oi ok okay okey okie omg oof",
    "ooh ooo oops ouch oy oye pardon pff phew phooey please pls plz pray pretty prithee psst",
    "quick quickie random rats right rightio righto righty sah seriously shame sheesh shoot",
    "shucks sigh so soo sooo sorry sup sure ta thank thankee thanks thingy thx tia too tq tsk ty",
    "uff ugh uh uhh uhm um umm wah wait walao well welp wey whaddya whew whoa whoops whoopsie",
    "woah woohoo wow wowza y'all ya yaar yah yay ye yea yeah yep yes yikes yippee yo yoohoo yuck",
    "yup",
)
#: Whom people speak to.
FRIENDS = word_set(
    "alexa siri cortana google jarvis bixby olly assistant computer robot bot helper genie machine",
    "friend friends buddy bud pal mate matey boss chief captain sir madam ma'am mam miss mister",
    "honey hon hun sugar sweetie sweetheart sweetpea darling darlin love lovely luv babe baby bae",
    "dearie dear doll pet petal duck son sis sista brother bruv cuz kiddo champ sport guys folks",
    "homie habibi amigo fella lad lass handsome gorgeous genius wizard old smart clever you u",
)
#: How and when: nothing the planner could follow or miss.
ADVERBS = word_set(
    "please kindly just now then also again quickly quick real really fast slowly simply maybe",
    "perhaps possibly finally already still currently immediately asap pronto straight away first",
    "next afterwards actually basically briefly promptly exactly precisely totally literally",
    "super very ever even once more gently nicely carefully properly speedily swiftly urgently",
    "soon always truly",
)
SIGNS = word_set(", ! ? . : ; - … ~ ...")
TALK = INTERJECTIONS | FRIENDS | ADVERBS | SIGNS

#: Openings that are longer than a word, besides those above.
LEAD_LINES = [
    "(i|we) (must|should|can't|cannot|shouldn't|mustn't) [not] forget [this] [to] [please]",
    "(i|we) (must|should|can't|cannot) not forget [to]|don't let me forget [to]|lest i forget",
    "(i|we) (need|want|would like|would love|wish|require|got|have|expect) [for] (you|ya|u) "
    "(to|should|must) [please]",
    "(i'd|id|we'd) (like|love|want|need|prefer|appreciate) [for] [it if] (you|ya|u) [to|could|"
    "would]",
    "(i'd|i would|it'd|it would|we'd|that'd) be [so|really|very|super|most] (grateful|great|"
    "happy|thankful|glad|lovely|nice|pleased|awesome|wonderful|delighted|obliged|helpful|cool|"
    "good|ever so grateful) if (you|ya|u) (could|would|can)",
    "(i've|i have|i got|there's) [got] (something|one|one more|another|an item|a task|"
    "one thing|another thing|one more thing) to",
    "my (wife|husband|partner|mom|mum|dad|boss|girlfriend|boyfriend|roommate|sister|brother|"
    "daughter|son|doctor|teacher) (says|said|wants (me|you)|told me|asked me|asks) to",
    "(i want|i need|i wish|i'd like) that (you|u|ya) [could|would|can]",
    "[if] (can|could|will|would|may|might) [i|you|ya|u|we|ye|yous] [please|kindly|possibly|"
    "just|ever] [also|quickly|maybe|help me|help]",
    "(you|ya|u|ye) (can|could|may|might|should|must|need to|want to|wanna|gotta) [please|go|"
    "just|now] [ahead|on] [and]",
    "(please|do|and|kindly) (you|do|go|to)|please do|do please|do me a favor|do me a favour",
    "(be|could you be|would you be|can you be) [so|super|really|very|extra|a] "
    "(sweet|kind|nice|good|lovely|dear|angel|darling|helpful|star|doll|love|pal|legend) "
    "[enough] [and|to|as to]",
    "why (don't|dont|not|do not) [you|ya|we|u] [go] [ahead|on] [and|to] [just]",
    "(you|u) (mind|wanna|want to)|would you (mind|ever|please|care to|be able to)|mind",
    "(go on|go ahead|go|come on|hurry up|hop to it|c'mon) [and|then|now] [just]",
    "(bless (your|you) heart|lord have mercy|have mercy|good lord|my lord|oh my|my my|my "
    "goodness|my god|oh my god|for goodness sake|for heaven's sake|heaven's sake|good grief)",
    "(i'm|i am|im) (fixing|about|trying|going|looking|hoping|gonna|ready|wanting|calling|"
    "writing|asking) [to]|(i'm|i am|im) (wondering|curious|asking|hoping)",
    "(gonna|going to|fixing to|about to|time to) [need you to|have you]",
    "(i|we) (need|want|would like|have|wish|like|wanna|gotta|desire|ought|got) to",
    "(have|need|want|wish|like|love) (you|u) to|make sure (to|you)|be sure (to|you)|"
    "(don't|dont|do not|never) forget to|remember to|see to it that you",
    "(in|for) (a|one) (sec|second|minute|moment)|one (sec|second|moment)|"
    "(when|whenever) (you're|you are|ur|your) (ready|free|able|done|available|around)",
    "(before|while|since|as) (i|we) (forget|go|leave|remember it|think of it|remember|have "
    "you|got you|have time)|before (i forget|leaving|bed|work|lunch|dinner)",
    "(while|since) (i'm|i am|we're|you're|you are|ur) (at it|thinking of it|thinking about it|"
    "here|there|on it|talking|waiting|driving|in there)",
    "(let's|lets|let us) (be|have|go|just|please)|let me|lemme|help me [out] [to]|help us|"
    "it's time to|it is time to|how about you|how about we|how about",
    "talk to me|help me [out]|give me a hand|i was thinking|i think (you|we) should|"
    "i (feel|think|believe|guess|suppose|figure|reckon) [like|that] (you|we) should",
    "(one|a) [quick|small|last|little|more|other|final] (thing|favor|favour|question|request|"
    "ask)|just one|quick (one|question|favor|favour|thing|q)|another (one|thing)|"
    "next [thing] [up]|by the way|on second thought|on second thoughts|while on it|"
    "(tell|show) me|listen up|look here|hear me out",
    "(okay|ok|so|and|but|oh|well|now|then|plus|also|yeah) (random|and|but|then|also|so|now|"
    "next|please|after|thing is)|but|and|after that|afterwards|after|next",
    "(as|like) (i|we) (said|asked|mentioned|told you)|to be (honest|safe|sure)|just in case|"
    "in that case|at (once|last)|right (now|away)|for (me|us) [please|quickly]|on (my|our) "
    "behalf|for once|real quick|of course|if you (can|could|would|will|don't mind|please|may)",
    "(good|g'day|top of the) (morning|afternoon|evening|day|night) [to] [you]|how (are|r) "
    "(you|u) [doing] [today]|how's it going|what's up|long time no see|nice to (see|meet) you",
]
LEADS = phrase_set(LEAD_LINES)

#: Words of which people's statements about themselves and the request consist.
_STATING = word_set(
    "i i'm im i've ive i'll i'd we we're we've it it's its that that's thats this is was am are be",
    "been being he's she's they're they've he she they there there's my our me us a an the so and",
    "but because cause cuz coz since as while to of at on in for with about from all any some got",
    "get getting have has had having do doing did done does gone going go went come coming leaving",
    "leave finished over sick tired bored busy late lazy stressed confused lost stuck driving",
    "cooking working walking running talking waiting looking thinking sleepy asleep awake old bad",
    "good",
    "terrible awful horrible hopeless rubbish useless great better worse best worst never ever",
    "always forget forgot forgetting forgotten remember remembering know think thought guess hope",
    "believe care head brain brain's mind memory mush fried mess hurts dead slow math maths",
    "arithmetic numbers homework school class test exam quiz teacher totally completely really",
    "very pretty quite just too much lot lots kind sort up out right wrong anymore mind's eyes",
    "glasses hands full dirty wet tied hurry rush need help wish trying struggling hard again",
    "it'll taken handled already now today busy sure myself anyway cannot can't not isn't don't",
    "won't didn't doesn't couldn't wasn't need needs doing misplaced lose losing quit wants asked",
    "asks asking fixing about house home office bed work day rushing swamped overwhelmed no nobody",
    "nobody's anybody somebody everyone everybody everything nothing blank out",
)
_STATING_FIRST = word_set(
    "i i'm im i've ive i'd we we're we've it it's its that that's thats this he's she's they're",
    "there's he she they my our because cause cuz coz since while nobody nobody's everyone",
)
#: Remarks that are a clause of their own.
REMARK_LINES = [
    "no need [for (that|this|it)] [already|anymore|any more|now]|"
    "all done|done and dusted|"
    "that's (it|all|that)|job done|sorted|thank god|finally|what a (day|week|mess|relief)|"
    "big day [today]|busy (day|week) [today|ahead]|long day|quick (question|one)|"
    "new plan|good news|bad news|guess what|you know what|tell you what|here's the thing|"
    "here we go|here goes|one sec|hang on|hold on|stand by|heads up|"
    "(math|maths) (question|time|problem|help)|(pop|quick) quiz|help me settle [a bet|this]"
]
_REMARKS = phrase_set(REMARK_LINES)
#: What somebody else does, after a name: "dave's doing it".
_DOES = word_set("doing done got gotten taking taken handling handled going finished sorted sick")
_BECOMING = word_set(
    "cancelled canceled postponed rescheduled over off done finished moved quit happening called",
    "closed sorted handled broken fixed stopped ended fell gone pointless unnecessary needed",
)
_TURNING = word_set("so but and , : ;")
_LONGEST_STATEMENT = 16  # words
#: What follows a list's name without asking anything more.
CLOSER_LINES = [
    "(would|will|could|can) (you|ya|u|ye) [please|kindly]|(and|many) thanks|thank you|"
    "please and thank you|[please] and thanks|if you (can|could|would|will|please)",
    "(before|in case|lest) i forget|for (me|us)|(right|straight) away|right now|now now|"
    "real (quick|fast)|at once|(when|whenever) you (can|get a chance|have time|get time|like)|"
    "as (well|soon as possible|soon as you can)|(one|once) more [time]|no rush|out loud|"
    "for me",
]
_CLOSERS = phrase_set(CLOSER_LINES)


def skip_lead(words: Sequence[str], at: int, end: int) -> int:
    """Where the talk that begins at `at` ends, one phrase at a time; `at` when there is none."""
    found = [phrases.longest(words, at, end) for phrases in (LEADS, OPENINGS)]
    reached = max((match[0] for match in found if match is not None), default=at)
    if words[at] in _STATING_FIRST:
        reached = max(reached, _after_statement(words, at, end))
    return at + 1 if reached == at and words[at] in TALK else reached


_LEADING_ON = frozenset({"go", "to", "do", "get", "have", "say", "if"})


def is_closing(words: Sequence[str], at: int, end: int) -> bool:
    """Whether nothing but talk stands from `at` to `end`."""
    return is_only(words, at, end, _CLOSERS, TALK)


def is_only(
    words: Sequence[str], at: int, end: int, phrases: PhraseTable[bool], singles: frozenset[str]
) -> bool:
    """Whether nothing but these phrases, these words and statements stands from `at` to `end`."""
    while at < end:
        if is_statement(words, at, end):
            return True
        found = phrases.longest(words, at, end)
        if found is None and words[at] not in singles:
            return False
        at = found[0] if found is not None else at + 1
    return True


def is_statement(words: Sequence[str], at: int, end: int) -> bool:
    """Whether the speaker only says how things are: "i must not forget", "that's done"."""
    if not 0 < end - at <= _LONGEST_STATEMENT or not _STATING.issuperset(words[at + 1 : end]):
        return False
    somebody = words[at].endswith("'s") and words[at + 1 : at + 2] and words[at + 1] in _DOES
    return words[at] in _STATING_FIRST or bool(somebody)


def _after_statement(words: Sequence[str], at: int, end: int) -> int:
    """Where the request begins in "i'm not doing it so drop …"; `at` where none does."""
    reached = at
    for here in range(at, min(end, at + _LONGEST_STATEMENT)):
        if words[here] in _TURNING and here > at + 1:
            reached = here + 1
        elif words[here] not in _STATING:
            break
    return reached


def says_what_became_of(wanted: Set[str], words: Sequence[str], start: int, end: int) -> bool:
    """Whether words say only what became of a to-do: "yoga is cancelled", for "take yoga off"."""
    at = start
    while at < end and words[at] not in wanted and (after := skip_lead(words, at, end)) > at:
        at = after
    named = wanted & set(words[at:end])
    happened = not _BECOMING.isdisjoint(words[at:end])
    return (
        bool(named)
        and happened
        and (_STATING | _BECOMING).issuperset(word for word in words[at:end] if word not in named)
    )


def is_small_talk(words: Sequence[str], start: int, end: int) -> bool:
    """Whether a whole clause asks for nothing: talk, perhaps with a statement after it."""
    if words[end - 1] in _LEADING_ON:
        return False  # "then go" has no end
    at = _REMARKS.skip(words, start, end)
    while at < end and not is_statement(words, at, end):
        after = skip_lead(words, at, end)
        if after == at:
            return False
        at = after
    return True
