"""What a question asks for, where an answer stands in a masked text, and words that only stand for an answer."""

from __future__ import annotations

import re

#: Nouns that stand for an answer without being one ("the one who wrote it", "the city that is the capital").
EMPTY_NOUNS = frozenset(
    """
    one ones person people man woman somebody someone whoever city town country state place location land thing
    something year date day number amount name author writer wrote written writes artist painter painted composer
    composed work inventor invented discoverer discovered capital currency money language continent element symbol
    called known named titled same own itself himself herself answer question serves located situated found
    belongs stands lies
    """.split()
)
#: A text that ends in one of these was cut before its answer.
BREAKING_OFF = frozenset(
    """
    the a an of in by is are was were called named known as to at and for on with from year city state country
    town american british english french german italian russian spanish author writer composer painter total
    element symbol
    """.split()
)
NUMBER_ASKED = re.compile(
    r"(?i)\b(?:how (?:many|much|old|long|tall)|(?:what|which) (?:year|number|date|temperature|price)|number of|"
    r"atomic number|"
    r"price|when|date)\b"
)
NAME_ASKED = re.compile(
    r"(?i)\b(?:who|whom|whose|author|writer|painter|artist|composer|inventor|discoverer|founder|capital|city|country|"
    r"continent|state|where|place|birthplace|language|award|prize|novel|book|film|school|university|town|planet)\b"
)
COMPLEMENT = re.compile(
    r"(?:^|\| )(?:it is |it's |that is |the )?<[NDA]>(?: [.!?|]|$)|(?:^| )(?:is|was|are|were|by|in|on|called|"
    r"named|uses?|use|:|stands for|"
    r"speak|speaks|est|ist|es|era|et|von|par|por|da|di) (?:the |a |an |of |by |in |on |probably |actually |"
    r"called |city of |state of |"
    r"la |le |der |die |das |el )*<[NDA]>"
    r"|<[NDA]> (?:is|was|wrote|painted|composed|invented|discovered|founded|serves|ist|est|es) (?:the |its |<[QS]>|it)"
)
#: A proper name is asked for: nothing in small letters can be it.
PROPER_ASKED = re.compile(
    r"(?i)\b(?:who|whom|whose|author|writer|painter|artist|composer|inventor|discoverer|founder|capital|"
    r"which (?:city|country|"
    r"town|state|continent)|(?:in|on) (?:which|what) (?:city|country|town|us state|continent)|the country where)\b"
)
#: A name where the answer of a whole clause stands: "<N> is the <Q> of <S>", "the <Q> of <S> is <N>", "<N> <Q> it".
TELLS = re.compile(
    r"(?:^|\| )(?:the city of )?<N> (?:is|was|are|were) (?:\w+ ){0,3}?<[QS]>|<Q>(?: of| for|"
    r" in)?(?: the)?(?: <S>)? (?:is|was|are|were) (?:the )?<N>|"
    r"(?:^|\| )<N> <Q> <S>|<S> (?:is|was|lies|are) (?:<Q> )?(?:by|in|on) <N>|(?:^|\| )(?:it|that|this|it's|"
    r"that's)(?: is| was)? (?:by |in )?<N>"
)
YEAR_ASKED = re.compile(r"(?i)\b(?:what|which) year\b|\byear of\b")
YEAR_SAID = re.compile(
    r"(?i)(?<!\d)\d{3,4}(?!\d)|['’]\d\d\b|\b\d0s\b|centur|\b(?:ten|eleven|twelve|thirteen|fourteen|fifteen|"
    r"sixteen|seventeen|"
    r"eighteen|nineteen|twenty|two thousand)[ -](?:hundred|oh|o|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    r"sixteen|seventeen|"
    r"eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)|\b[MDCLXVI]{4,}\b|thousand"
)
#: A place is asked for by its position: "in <N>" answers; of a maker, "by <N>" or "the work of <N>" does.
PLACE_ASKED = re.compile(r"(?i)\b(?:in|on) (?:which|what)\b|\bwhere\b|\b(?:country|continent)\b")
PLACE = re.compile(
    r"\b(?:in|on|to|of|from|inside|within) (?:the |southern |northern |eastern |western |central )?<[NA]>"
)
MAKER = re.compile(
    r"\bby (?:the |a |an )?(?:[\w-]{1,15} ){0,3}?<[NA]>|\b(?:work|painting|novel|opera|piece|play|one|"
    r"book) of <[NA]>|<[NA]> (?:did|wrote|made|painted)"
)
OPENS_AN_ANSWER = re.compile(
    r"^(?:it|it's|that|that's|this|he|she|they|there|the answer|its name|the name|easy|sure|probably|maybe|"
    r"perhaps|of course|i)\b"
)
