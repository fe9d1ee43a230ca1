"""The words that only we use for a thing, each with the field's word for it.

Data of `words.py`: the patterns of each word and the reason of each exception. Names of HTTP, of
the record, of events and of settings are a contract and none of these: `run.taken_up` and
`taken_up` of the record, `order` of a search, `told` of an explanation.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """A private word and what is to be said instead.

    `code` finds it in code: names of modules, classes, functions and variables; strings are blank
    there. `prose` finds it in docstrings, comments and pages, where whatever stands between
    backticks is looked at as code too. Empty where the word is plain English there. Both begin and
    end at the border of a word. `within` are the folders that the word is private in, all without
    any; `pages` says whether it is so in what is written for users.
    """

    name: str
    instead: str
    code: str = ""
    prose: str = ""
    within: tuple[str, ...] = ()
    pages: bool = True


WORDS = (
    # Who watches
    Word("bell", "Notifier", code="_?[Bb]ells?", prose="bells?"),
    # Not `KeyRing`, nor to-dos that would have to ring: only the method, its task and its verb.
    Word(
        "ring",
        "notify",
        code=r"ring(?=\()|_ringing",
        prose="rung|rang|next ring",
        within=("graph", "api", "docs"),
    ),
    Word(
        "feed",
        "Broadcaster, RunSubscription",
        code=r"_?[Ff]eeds?",
        prose="(?:the|a|every|all|each|of) feeds?|Feeds",
    ),
    # `changes` is plain English; only the class is ours.
    Word("Changes", "ChangeSubscription", code="Changes"),
    # Who executes
    # `live` is plain English, and Rich has a `Live` too: only the class in `graph` is ours.
    Word("Live", "LiveRun", code="Live", within=("graph",)),
    # "Inference engine" is the field's.
    Word("engine", "RunContext", code="(?:make)?_?[Ee]ngine", prose="(?<!inference )engines?"),
    # The driver of a database is the field's.
    Word(
        "driver",
        "Runner",
        code="_?[Dd]river",
        prose="(?<!database )drivers?",
        within=("graph", "api"),
    ),
    Word("passage", "Runner", code="_?[Pp]assage", prose="passage"),
    # `taken_up` is of the record, hence without the underscore.
    Word(
        "take up",
        "resume",
        code="_?take_up|TakenUp|taking_up",
        prose="(?:take|takes|took|taken|taking)[ -]up",
    ),
    # `backlog=` is an argument of Python's own sockets.
    Word("backlog", "unfinished", code="(?:queue_)?backlog(?!=)", prose="backlog"),
    Word("suspect", "quarantined", code="_?suspect(?:s|ed)?|[A-Z_]*SUSPECTS?", prose="suspects?"),
    # The turn of a conversation is the field's: the class `Turn`, its variables, and the field
    # `turns` of the record. What lets in one after the other (a slot, a lock, a queue) is none: it
    # is looked for as an attribute, which no turn of a conversation is, and as a class of turns.
    Word(
        "turn",
        "slot, ModelAttempt",
        code=r"(?:(?<=\.)|_|end_)turns?|\w*Turns",
        prose="(?:run's|model's|its|whose) turn",
    ),
    # "The life of a run" is plain English; that it has several is ours. A process may live, too.
    Word(
        "life",
        "generation",
        code="_?(?:lives|life|lived)|Life",
        prose="lives of (?:a|the) run|(?:one|every|each|that|this) life",
        within=("graph",),
    ),
    # Orders
    # A model repairs its plan, as the prompt asks it to; only what retries and forks runs is ours.
    Word("repair", "retry", code=r"Repair|(?<=(?<!prompt)\.)repair"),
    Word("reopen", "retry", code=r"_?reopen(?:ing|ed|s)?(?:_left)?", prose="reopen(?:ing|ed|s)?"),
    # As a verb it is plain English; as the name of a module or a variable it is not.
    Word("retrying", "retry", code="_?retrying"),
    # As a verb, plain English, as is the decision that a person makes: MCP's tool `approve_run` has
    # a field of that name, and so has what OpenTelemetry samples.
    Word(
        "decision",
        "approval",
        code=r"_?deciding|\w*[Dd]ecision_\w+|\w*Decision|_decision|(?<!\.)decision(?!: Literal)",
    ),
    Word("approving", "approval", code="approving"),
    # `asking` is plain English.
    Word("Asking", "ApprovalGate", code="Asking"),
    # `unapproved` is plain English in prose.
    Word("unapproved", "approval_needed", code="unapproved"),
    # The field `asks` is in stored states, and what clauses ask for is language.
    Word(
        "asks",
        "required_approval",
        code=r"Asks|asks_for|asking_for|(?<![.`])asks(?!: |=)",
        within=("graph", "nodes/approving", "nodes/approval"),
    ),
    Word("to_be_asked_about", "approval_needed", code="to_be_asked_about"),
    # `DraftCreate` and `DraftAnswer` are names of HTTP; the note `.draft` is an example.
    Word(
        "draft",
        "PlanPreview",
        code=r"(?:\w+_)?(?!Draft(?:Create|Answer)\b)(?<!\.)[Dd]rafts?(?:[A-Z]\w+)?",
        prose=r"(?<!\.)drafts?",
    ),
    # "What remains" is plain English.
    Word("remains", "RunArtifacts", code=r"Remains|remains"),
    # To remove is plain English.
    Word("removal", "deletion", code=r"\w*[Rr]emovers?|\w*[Rr]emovals?", prose="removers?"),
    Word("keeping", "retention", code=r"keeping(?:_\w+)?"),
    # In prose it is the verb; `request_keys` in SQL is a string and stays where it is stored.
    Word(
        "request_key", "idempotency key", code="RequestKeys?|_?request_keys?", prose="request keys?"
    ),
    # The order of something is plain English: only what orders a retry, and the key of a sort.
    Word(
        "order",
        "RetryRequest, RetryCommand, sort",
        code=r"RetryOrder|order_of|(?<!\.)order(?!=)",
        prose=r"[Oo]rders? to (?:retry|do so|go on)|every order about|several orders"
        r"|the order(?= (?:was stored|has one))",
        within=("graph",),
    ),
    # Budgets and models
    Word("purse", "BudgetGuard", code="_?[Pp]urse", prose="purse"),
    # To pay for something is plain English, and what the to-dos of examples are about.
    Word("pay", "charge, BudgetExceeded", code=r"(?<=\.)_?pay|_paid|not_paid|NotPaid"),
    Word(
        "patience",
        "PlanningDeadline",
        code=r"\w*[Pp]atience(?:_\w+)?|PATIENCE\w*|_?patient",
        prose="patience",
    ),
    Word("roster", "ModelLadder", code=r"(?:\w+_|_)?[Rr]oster", prose="roster"),
    # "The worst case" is plain English.
    Word("worst_case", "max_cost", code="worst_case"),
    # HTTP and the terminal
    Word("pace", "Throughput", code="_?[Pp]ace"),
    Word("pulse", "Heartbeat", code="_?[Pp]ulse|beat", prose="pulse"),
    # A frame of the screen, and Python's own, are the field's; see also the frames of sentences.
    Word(
        "frames", "EncodedEvents", code=r"_?[Ff]rames|_frame|frame(?!: FrameType)", within=("api",)
    ),
    Word("arrivals", "StreamRateLimit", code="_?[Aa]rrivals"),
    Word("story", "event_lines", code="_?[Ss]tory", prose="story"),
    Word("terminal_text", "render", code="terminal_text"),
    Word("view", "views", code="run_view|live_view|LiveView"),
    Word("stranger", "anonymous", code=r"_?strangers?|Stranger(?:Dep)?", prose="strangers?(?:'s)?"),
    Word("callers", "authentication", code="Callers|callers|check_callers"),
    # "Nobody" is plain English.
    Word("NOBODY", "DEFAULT_OWNER", code="NOBODY"),
    Word("LostSight", "Detached", code="LostSight|LOST_SIGHT"),
    # "Waits" and "left" are plain English: only the exceptions are ours.
    Word("Waits", "AwaitingApproval", code="Waits"),
    Word("Left", "Interrupted", code="Left"),
    Word("SECOND_THOUGHT", "interrupt window", code="SECOND_THOUGHT"),
    # Language
    Word(
        "frame",
        "sentence template",
        code=r"[Ff]rames?|_frames|FrameTable|(?:\w+_)?FRAMES|\w+_frames",
        prose="[Ff]rames?",
        within=("nodes",),
    ),
    # To set aside is plain English.
    Word("aside", "ignorable", code="asides|is_aside", prose="asides", within=("nodes",)),
    Word(
        "loose",
        "fuzzy",
        code=r"_?(?:loose|LOOSE)(?:_\w+)?|\w+_loose_\w+|\w*_loosely",
        prose="loose(?:ly)?(?= read)",
        within=("nodes/patterns",),
    ),
    Word("rings", "alarms", code="rings|RINGING", within=("nodes",)),
    Word("unfit_items", "rejected items", code="unfit_items", within=("nodes",)),
    # What the thing is
    # `told` of an explanation is in the record, and SQL has it too; in prose it is plain English.
    Word(
        "told",
        "what the thing is",
        code=r"_?told(?!: (?:Annotated\[)?int\b|=(?!=)|->>)|_TOLD|told_to_end",
    ),
    Word("way", "what the thing is", code="_?ways?"),
    # On pages for users it is plain English.
    Word("whoever", "what the thing is", prose="[Ww]hoever(?:'s)?", pages=False),
    # A storage that rests after a batch does nothing; a run that rests has a status.
    Word(
        "rests",
        "settles, waits",
        code=r"_?rested|_?resting|RESTING|rest(?=\()",
        prose="(?<!storage )rests",
    ),
    # A search goes on after its page, a reader after an event, and an errand on a list.
    Word(
        "goes on",
        "resumes, continues",
        code="goes_on|_?go_on|_going_on|got_on",
        prose="(?<!search )(?<!comes again )goes on"
        "(?! (?:the list|writing|after this page|with the same filters))",
        pages=False,
    ),
)
