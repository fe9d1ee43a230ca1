"""Words that people say around any request and that ask for nothing themselves.

The closed class of the fuzzy readings: a word that is neither here nor part of what is asked for
makes them refuse. Negations, conditions, units and things to act on must never be added.
"""

import re
from collections.abc import Sequence, Set

from nodes.patterns.english.politeness import OPENINGS
from nodes.patterns.grammar.phrases import PhraseTable, phrase_set, word_set

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
_TALK = INTERJECTIONS | FRIENDS | ADVERBS | SIGNS

#: Openings that are longer than a word, besides those of `politeness.py`.
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
    return at + 1 if reached == at and words[at] in _TALK else reached


#: Asking whether something may be done, or was, and not for it: "can i delete todo 1".
_PERMISSION = phrase_set(
    [
        "(can|could|may|might|shall|should|must|do|did|will|would|dare|ought|have|had|can't|"
        "couldn't|shouldn't|mustn't|mayn't) (i|we)",
        "is it (ok|okay|fine|alright|possible|allowed|safe|good|wise|right|a good idea|too late) "
        "(if|that|to|when)",
        "(am|are) (i|we) (allowed|able|supposed|permitted|free|going|meant)",
        "is there (a|any) (way|chance) to|what (happens|if|would happen|will happen)|"
        "how (do|can|could|should|would|may) (i|we)|why (do|did|can|should|would)",
    ]
)
#: After these, another is asked, or something to be had: "may i ask you", "can i have tea added".
_HAVING = frozenset({"get", "have", "ask", "trouble", "bother", "see", "hear", "know"})
_LEADING_ON = frozenset({"go", "to", "do", "get", "have", "say", "if"})
_LONGEST_LEAD = 6  # phrases before a question


def asks_permission(words: Sequence[str], start: int, end: int) -> bool:
    """Whether a clause asks if something may be done, and not that it is done."""
    at = start
    for _ in range(_LONGEST_LEAD):
        found = _PERMISSION.longest(words, at, end)
        if found is not None:
            after = found[0]
            return not (after < end and words[after] in _HAVING)
        if at >= end:
            return False
        lead = OPENINGS.longest(words, at, end)
        if lead is not None:
            at = lead[0]
        elif words[at] in _TALK:
            at += 1
        else:
            return False
    return False


def is_closing(words: Sequence[str], at: int, end: int) -> bool:
    """Whether nothing but talk stands from `at` to `end`."""
    return is_only(words, at, end, _CLOSERS, _TALK)


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


#: A question that is a request: "could you delete it?".
_REQUESTING = re.compile(
    r"\b((can|could|would|will|can't|won't) (you|u|ya|we)|please|pls|mind)\b", re.I
)
_QUESTION_MARK = re.compile(r"\?(?=[\s?!.]|$)")


def is_question(text: str) -> bool:
    """Whether a prompt with a question mark requests nothing: "it's done?"."""
    return bool(_QUESTION_MARK.search(text)) and _REQUESTING.search(text) is None
