"""Sentences and words that mean something only after another run of the same thread."""

from nodes.patterns.english.todo_words import CLASSES
from nodes.patterns.grammar.phrases import phrase_set

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
