"""What people wrap around a request: how they begin it and how they end it."""

from nodes.patterns.phrases import phrase_set

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
}

#: Taken off the front of a clause, again and again.
OPENINGS = phrase_set(
    [
        "please",
        "pls|plz",
        "kindly",
        "just",
        "quickly",
        "simply",
        "hey|hi|hello|yo [there]",
        "good (morning|afternoon|evening)",
        "ok|okay|alright|all right|well|so|oh|um|uh|yes|yeah|yep|sure|right|great|now|actually",
        "first|firstly|first of all|second|secondly|third|thirdly|lastly|finally|also|then|next",
        "and|plus|but",
        ",|!|*|-",
        "<could> <you>",
        "<you> (can|could|may|should|need to|must|have to|might)",
        "(can|could|may|might|shall) (i|we)",
        "<i want> [for] <you> to",
        "<i want> to",
        "(need|want|have|would like|looking|trying|about) to|[i] (wanna|gotta)",
        "(i'm|i am) (trying|looking|going|hoping|ready) to|i've got to|i must|we must",
        "i (should|must|shall)|i [also] (forgot|meant) to|i (almost|nearly) forgot|i forgot",
        "i (can't|cannot|don't|do not) (remember|recall|know)",
        "(look|check|take a look|have a look|go in|log in|hurry up) and",
        "let me|lemme|allow me to|time to|it's time to|i'll|i will",
        "i'd (appreciate|love) it if <you> (can|could|would)",
        "i would (appreciate|love) it if <you> (can|could|would)",
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
        "do me a favor and|do me a favour and",
        "i need a favor",
    ],
    CLASSES,
)

#: Taken off the end of a clause; few, because what ends a clause may belong to a to-do.
CLOSINGS = phrase_set(
    [
        "please|pls|plz",
        "thanks|thank you|thankyou|thx|cheers [a lot|very much|so much]",
        "thanks (a lot|so much|very much)",
        "thank you (very much|so much)",
        "if <you> (can|could|would|don't mind|please|would please)",
        "(would|will|could|can) <you>",
        "ok|okay",
        ".",
        "!",
        "?",
        ",",
        ";",
        ":",
    ],
    CLASSES,
)

_LONGEST_CLOSING = 5


def take_off_opening(words: list[str], start: int, end: int) -> int:
    """Where the request itself begins."""
    return OPENINGS.skip(words, start, end)


def take_off_closing(words: list[str], start: int, end: int) -> int:
    """Where the request itself ends."""
    while end > start:
        for length in range(min(_LONGEST_CLOSING, end - start), 0, -1):
            found = CLOSINGS.longest(words, end - length, end)
            if found is not None and found[0] == end:
                end -= length
                break
        else:
            return end
    return end
