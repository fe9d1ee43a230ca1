"""How people ask whether something is on the list; the answer to all of them is the list.

One line a sentence, in the notation of `todo_frames.py`. `{item}` is whatever is asked about,
`{few}` a kind of to-do, as in "which errands are on my list".
"""

QUESTION_FRAMES = [
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
