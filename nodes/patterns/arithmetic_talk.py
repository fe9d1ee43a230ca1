"""Words around a calculation that change nothing about its value.

A closed class, and what keeps other requests out: "5 plus 3 tickets" is no arithmetic for us,
because "tickets" is not here. Units, currencies, times, dates and things must never be added.
"""

from collections.abc import Sequence

from nodes.patterns.phrases import phrase_set, word_set
from nodes.patterns.small_talk import ADVERBS, FRIENDS, INTERJECTIONS, LEADS, is_only

#: Single words before an expression, in any order.
_ANYWHERE = (INTERJECTIONS | FRIENDS | ADVERBS) - {"my"}  # "my number is 555-1234"
_BEFORE = _ANYWHERE | word_set(
    """
    what whats what's what`s what'll what're which what'd how how's much many is are was were be
    been am do does did will would should could can may might 's s i i'm im i'd i've i'll you
    you're u we us me your it it's that that's this these those there's here's here a an the any
    some of for to when if whenever once after suppose supposing say with and tell show give
    figure find out work calculate calculating compute computing evaluate solve solving
    determine resolve get got getting have has had having see hear need want like love wanna
    gonna know knowing wonder wondering curious ask asking answer return print display output
    provide supply explain check calc tally perform run doing try trying put make process happen
    result total value outcome amount solution answers number numbers equation expression
    problem question sum difference product quotient operation calculation calculations
    calculator math maths mathematics arithmetic quick quickly fast easy simple basic little
    small hard tough real really exact exactly correct right final following next other another
    new please pls plz kindly just only so then now well ok okay hey hi hello there also again
    remind help let let's lets use using forget forgot forgotten remember recall keep can't
    don't not sure about idea guess wish equal equals : , = ? ! come comes left remains
    remaining leftover take able anyone
    gimme becomes become gives teach makes ascertain establish deduce reveal state share furnish
    chuck throw toss sling spit fetch hit count counting yield yields produces crunch reckon sums
    enlighten simplify assist enquire inquire wonder lemme whats what've what'd whatcha wanting
    maybe kinda sorta stuck struggling brain brain's head gone mush fried dead blank bad terrible
    good any never at working doing tot lay gonna wonderin figuring
    yer ur r no idea ain't forgetting seem cannot hows how're settle verify confirm
    random hypothetically theoretically roughly like thing called we're they they'd
    pull bring speak say saying talk through spare sec moment got i've curiosity
    bother trouble need needing required require requires require want wants wanted
    """
)

#: Single words after an expression, in any order.
_AFTER = _ANYWHERE | word_set(
    """
    equal equals equalling to is are was be make makes made come comes out up work works give
    gives get gets got have has had total in all altogether together what whats what's how much
    many which do does did will would should could can i you u we me us it that that's this
    these it's the a answer result value number sum solution if when then now right again
    exactly please pls plz thanks thank for ? ! . , : = ok okay tell know need want wonder
    wondering find figure calculate compute forget forgot remember like so and my leave leaves
    left remain remains remaining end also just really quick quickly today totals totaling alexa
    siri google assistant
    """
)
_AFTER_PHRASES = phrase_set(
    [
        "(in|for) [my|a|the] (math|maths|homework|class|numbers|figures|digits)",
        "going to be|gonna be|going to equal",
        "or (not|what|nah|something|whatever|no)|if you (can|could|would|don't mind|please|know|"
        "will)|(out of curiosity|just curious|for me|for us|real quick|right quick|off the top of "
        "your head|in your head|at once|as well|to be exact|by any chance|(work|come|add|figure) "
        "(out|up) (to|as|at))|(would|will|could|can) (you|ya|u) [please|kindly]|and thanks|"
        "(before|in case|lest) i forget|(as|when) (soon as|you) [you] can|(any|an) (idea|clue)|"
        "(how much|what) (ah|is it|is that|would it be|does it make|do i get|be it)|what's (it|"
        "that) (make|come to|give|equal|get|be|total)|(work|works) out [to|as|at]",
        "as a (number|decimal)|(on|with|using|through) [the|your|my|a] calculator|add up [to]",
    ]
)
_BEFORE_PHRASES = phrase_set(
    [
        "my (brain|brain's|head|head's|memory|mind|mind's|math|maths)",
        "(get|obtain|find|gotten|calculated|made|result) (by|from)|got from|in your head|"
        "(on|off) the top of your head|out of curiosity|by any chance|for me|at all",
        "one (for|more) you|my (math|maths|homework|calculation|equation|problem|question|sum|"
        "total)",
        "(run|crunch) the numbers [on|for]|do the (math|maths|arithmetic|calculation) (on|for|of)",
        "on (the|this|that)",
        "in (math|maths|arithmetic)",
        "can you do (some|a little|a bit of|a quick bit of) (math|maths|arithmetic) [for me]",
        "(two|both|three) numbers",
        "add (up|this|these|the following) [numbers] :",
    ]
)

#: Questions for something else a value: "is 5 more 3", "when is 10 - 12".
OTHER_QUESTIONS = phrase_set(["is|are|was|were|does|did|when (is|are|was|does|do|will)"])

#: Names of results that hold only for one operation, with its sign.
CONSISTENT = {"difference": "-", "product": "*", "quotient": "/"}


def skip_talk(words: Sequence[str], at: int, end: int) -> int | None:
    """Where the talk that begins at `at` ends, one step at a time; None when there is none."""
    found = _BEFORE_PHRASES.longest(words, at, end) or LEADS.longest(words, at, end)
    if found is not None:
        return found[0]
    return at + 1 if words[at] in _BEFORE else None


def is_talk_after(words: Sequence[str], at: int, end: int) -> bool:
    """Whether nothing but talk stands from `at` to `end`."""
    return is_only(words, at, end, _AFTER_PHRASES, _AFTER)
