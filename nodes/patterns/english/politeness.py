"""What people wrap around a request: how they begin it and how they end it."""

from nodes.patterns.grammar.numbers import read_number
from nodes.patterns.grammar.phrases import phrase_set, word_set

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

#: The same right after the name of a list, where no word can belong to a to-do any more.
AFTER_LIST = [
    "[for] one more time|once more|once again|one last time|again|real quick|really quick|quickly|"
    "real fast|before i forget|for me|first|too|as well|also|right away|asap|immediately|"
    "[i think|i guess]|(like|as) i (asked|said|wanted)|as requested|if you could be so kind|for "
    "(today's|this) (work|chores)",
]

_LONGEST_CLOSING = 7
_SAYING = frozenset({"say", "says", "saying"})

#: Words with a full stop of their own; after these a name follows.
TITLES = word_set("mr mrs ms dr prof st vs no nr approx dept e.g i.e")
ABBREVIATIONS = TITLES | word_set(
    "ave vs etc no jr sr inc ltd co corp approx dept est tel ext e g i a p m"
)


def is_shortened(word: str) -> bool:
    """Whether a full stop after a word belongs to it: "Inc.", the "J." of a name, "v1.0."."""
    if word in ABBREVIATIONS or (len(word) == 1 and word.isalpha()):
        return True
    return word[0].isalpha() and any(sign.isdigit() for sign in word)


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
