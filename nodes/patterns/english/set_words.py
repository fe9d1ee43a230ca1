"""How people name several to-dos at once: all of them, or some by their places."""

from nodes.patterns.grammar.phrases import phrase_set, table, word_set

CLASSES = {
    "all": [
        "everything|all|them|all of (it|them|these)|"
        "every (thing|item|todo|task|one|single one|entry|"
        "single (thing|item|todo|task)|TODO)|each [of] (item|todo|task|one|TODO|TODOS)|[all|all of"
        "|every one of|each of] TODOS|all [of] [the|my] (items|things|entries|contents)|the "
        "contents|all of LIST|(every|each) (chore|entry|single chore)",
    ],
    "off": ["(from|off|off of|out of|on|in|of|that's on|that is on|which is on)"],
    "done": [
        "done|complete|completed|finished|checked|checked off|ticked|ticked off|closed|crossed "
        "off|resolved"
    ],
    "wipe": [
        "clear|clear out|clear off|empty|empty out|wipe|wipe out|clean out|clean|purge|flush|wipe "
        "clean|reset"
    ],
    "entirely": ["[completely|entirely|clean|out|off|empty|altogether|for me]"],
}

#: A whole clause that means every to-do, with what becomes of them.
ALL_OF_THEM = table(
    {
        "<wipe> [<all> <off>] LIST <entirely>": "delete",
        "<wipe> [out|off] <all> <off> LIST": "delete",
        "(remove|delete|erase|discard|drop|clear|scrap|trash|get rid of|take off|cancel|wipe) "
        "<all> [<off> LIST]": "delete",
        "take <all> (off|out) [of] LIST|(get|have) <all> (off|off of) LIST": "delete",
        "(make|leave|get) LIST (empty|blank)|empty LIST out": "delete",
        "(mark|set|flag|check|tick|make|label|count|move) <all> [<off> LIST] [as|to] <done> "
        "[<off> LIST]": "complete",
        "(complete|finish|check off|tick off|cross off|cross out|mark off|close) <all> [<off> "
        "LIST] [as <done>]": "complete",
        "(check|tick|cross|mark) <all> off [LIST|<off> LIST]": "complete",
    },
    CLASSES,
)
#: One of these has to be said where only to-dos are named: "delete all my todos".
ALL = word_set("all everything every each")

#: What may follow a place: "delete todo 1 right now".
HASTE = phrase_set(
    ["now|right (now|away)|immediately|asap|too|as well|please|again|quickly|for me"]
)

#: What stands before places that are several.
NOUNS = word_set(
    "todos tasks items todo task item numbers number entries things TODOS TODO one ones"
)
FRONTS = word_set("the my todo")
#: Words for more than one, and no places: "two todos", "the last tasks", "some items".
QUANTITIES = phrase_set(
    [
        "[the|my|these|those|any|all] [first|last|next|other] [of] (two|three|four|five|six|seven|"
        "eight|nine|ten|2|3|4|5|6|7|8|9|10|few|several|both|some|most|half|many|more|other|a few|a "
        "couple|a bunch|couple|any|one of|half of|most of|some of|several of) [of] [the|my|these] "
        "(todos|tasks|items|TODOS|things|chores|entries|TODO|LIST|them)",
        "[the|my] (first|last|next|other|few|second) (todos|tasks|items|TODOS|things|chores|ones)",
        "both|some|several|a few|most|half|them all|TODOS|all|everything|any",
    ]
)
