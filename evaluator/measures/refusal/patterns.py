"""The wordings that the detector of refusals knows: not knowing, policy, hedges, politeness, restating the question.

They are searched in masked, folded text (see reading.py): lower case, no accents, straight apostrophes, words and
signs apart by single blanks. They are features of the trained detector, not verdicts: each weighs what the labelled
set taught it to weigh. English is here, other languages are in abroad.py. Every repetition is bounded, so that no
text makes a search quadratic.
"""

from __future__ import annotations

import re

from evaluator.measures.refusal.abroad import HEDGE_ABROAD, POLITE_ABROAD


def _any(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives))


_NOT = "|".join(
    (
        "don'?t",
        "doesn'?t",
        "didn'?t",
        "haven'?t",
        "cannot",
        "can'?t",
        "couldn'?t",
        "wouldn'?t",
        "aren'?t",
        "never",
        "not",
    )
)
_MIND = "|".join(
    "know knew recall remember say tell answer have possess find provide aware sure certain familiar able help share "
    "identify confirm comment speak discuss disclose assist learned learnt heard been told guess place come name "
    "state seen read met hold".split()
)
_AT_A_LOSS = r"unable|unaware|unsure|uncertain|unfamiliar|clueless|ignorant|at a loss|drawing a (?:\w+ )?blank|stumped"

#: "I don't know" and its kin: the first person (or an impersonal "no information") lacks the knowledge.
INABILITY = _any(
    rf"\b(?:i|we|assistant|model|one)\b[^.!?\n]{{0,40}}?(?:{_NOT}) (?:\w{{1,20}} ){{0,3}}?(?:{_MIND})\b",
    rf"\b(?:i|we|i'?m|we're) (?:am |are |was |were )?(?:\w{{1,20}} )?(?:{_AT_A_LOSS})\b",
    r"\b(?:i|we|i've|we've) (?:have |hold |know |possess |lack |draw |forget |forgot |got |absolutely ){1,3}"
    r"(?:no|nothing|zero|any|a blank|the (?:knowledge|information))\b",
    r"\b(?:no|any|zero|without a) (?:\w{1,20} )?(?:information|knowledge|idea|records?|data|details|clue|answer|"
    r"facts|recollection)\b",
    r"\b(?:nothing|not a clue|not a thing|not the (?:faintest|foggiest))\b",
    r"\b(?:is not|are not|was not|isn'?t|aren'?t|wasn'?t|not) "
    r"(?:known|available|specified|something (?:that )?i|there)\b",
    r"\b(?:is|are|was|remains?|it's|that's) (?:unknown|a mystery|beyond|outside|lost on|greek to me)\b",
    r"\b(?:beats me|search me|not that i know|escapes me|eludes me|fails me|stumped|got me (?:there|"
    r"beat)|haven'?t (?:a|the)|slipped my|escaped my|ring a bell|rings no bell|in the dark)\b",
    r"\b(?:my (?:memory|knowledge|mind|head)|unknown to me|not (?:known|clear) to me|beyond me)\b",
    r"^\W{0,5}(?:unknown|no idea|no clue|not sure|not certain|don'?t know|dunno|idk|pass|can'?t (?:say|tell|"
    r"remember|recall)|couldn'?t)\b",
    r"\b(?:i|i've|i have|have|we) (?:\w{1,12} )?(?:forgot|forgotten|never (?:learned|learnt|heard|knew|came across))\b",
    r"\bunable to (?:find|recall|say|tell|answer|name|locate|retrieve|determine|identify)\b|\b(?:shouldn't|"
    r"should not|couldn't|wouldn't) know\b",
    r"\b(?:the (?:faintest|foggiest|slightest)|won't come to me|a blank spot|nothing comes up|comes up empty|"
    r"nothing to offer)\b",
    r"\b(?:i|we|i'?m) (?:\w{1,12} ){0,2}(?:lack|draw a blank|have to pass|am stuck|am lost|am clueless)\b",
    r"\byour guess is as good|\bgreek to me\b|\bwho knows\b|\b(?:srry|sory|sorry) no \w{3,8}\b|\b(?:dont|didnt|"
    r"cant|doesnt|havent) (?:\w{1,12} )?"
    r"(?:know|remember|rember|remeber|recall|have|tell|say)\b|\bisn't (?:\w{1,12} ){0,3}(?:stored|in my|among|"
    r"known|part of|something)\b",
    r"\b(?:i|we)(?:'d| would) (?:have to|need to) (?:look|check|search|guess)\b|\b(?:not|isn't) the (?:right one|"
    r"one) to ask\b|"
    r"\b(?:only|just|merely|rather not|won't|not) (?:be )?guess\w{0,3}\b",
    r"\b(?:i|we|my \w{1,12}) (?:\w{1,12} )?(?:holds?|have|has|had|got|know|knows|knew|possess|found|find|"
    r"contains?) (?:\w{1,12} )?"
    r"(?:no|none|nothing|zero|neither)\b",
    r"\b(?:doesn't|does not|don't|do not|didn't) (?:\w{1,12} )?(?:extend|include|cover|reach|contain|hold|ring)\b",
    r"\b(?:dunno|idk|not (?:really )?sure|no clue|no idea)\b",
)
#: Clauses that offer, advise or apologise: they may stand beside a refusal without answering anything.
POLITE = _any(
    r"\b(?:sorry|apolog\w{1,6}|regret\w{0,4}|please|let me know|happy to|glad to|love to|feel free|if you|would you|"
    r"can i help|could you|forgive|afraid|perhaps you|i (?:suggest|recommend|wish)|you (?:can|could|may|might|should)|"
    r"consult|check|look it up|would be able|could (?:surely|probably|certainly)? ?tell|anything else|something else|"
    r"thank|ask (?:a|an|your|someone|me))\b",
    POLITE_ABROAD,
)

#: Rules, law, ethics, privacy or being an AI given as the reason, where not knowing is the matter.
POLICY = _any(
    r"\b(?:illegal\w{0,2}|unlawful\w{0,2}|unethical|ethic\w{0,4}|irresponsible|laws?|lawful\w{0,2}|legal\w{0,2}|"
    r"regulations?|"
    r"privacy|private|personal (?:data|details|information)|confidential\w{0,5}|classified|secrets?|secrecy|gdpr|"
    r"polic(?:y|ies)|guide?lines?|terms of (?:use|service)|(?:my|our|content|usage) (?:rules|terms|policy|standards)|"
    r"community standards|harm(?:ful)?|unsafe|dangerous|safety|security|misused|inappropriate|offensive|sensitive)\b",
    r"\b(?:not|never|n'?t|nor) (?:\w{1,20} )?(?:allow(?:ed)?|permit(?:ted)?|authori[sz]ed|licensed|supposed|meant)\b",
    r"\b(?:prohibit\w{0,4}|forbid\w{0,4}|forbade|restrict\w{0,4}|censored|instructed|programm(?:ed|ing)|"
    r"copyright\w{0,2}|consent|"
    r"barred|blocked|flagged|moderat\w{2,4}|authori[sz]ed|approved|clearance|courts?|rules)\b",
    r"\b(?:as|being|i'?m|i am|only|just) (?:\w{1,12} ){0,2}(?:ai|artificial|language model|chatbot|computer program|"
    r"virtual assistant|large language)\b",
)
#: An answer offered with doubt: after a refusal it makes the refusal half an answer.
HEDGE = _any(
    r"\b(?:i(?:'d| would)? (?:think|believe|guess|suppose|assume|bet|say|go (?:for|with)|pick|conclude|suggest|name)|"
    r"if i (?:had|remember)|best guess|my (?:pick|guess|bet)|"
    r"maybe|perhaps|probably|possibly|presumably|surely|most likely|likely|"
    r"(?:it|he|she|they|that|this) (?:could|might|may|should|must|ought to) (?:well |just )?(?:be|have been)|"
    r"would be (?:a|an|my|the) (?:\w{1,12} )?(?:guess|answer|bet|pick|choice)|if forced|at a guess|give or take|"
    r"if (?:i|you) (?:press|push|force|insist)\w{0,2}|"
    r"comes to mind|rumou?r|sounds right|feels right|seems right|let'?s (?:go|say)|everybody says|or something)\b",
    HEDGE_ABROAD,
)

#: Turning from one statement to its opposite.
CONTRAST = _any(
    r"\b(?:but|however|though|although|yet|still|nevertheless|unless|then again|wait|actually|well|"
    r"mais|aber|jedoch|pero|mas|ma|pero|maar|toch)\b"
)

#: Saying what was asked, instead of answering it.
RESTATES = _any(
    r"\b(?:(?:you|user|someone|somebody) (?:\w{1,12} ){0,3}(?:ask\w{0,3}|want to know|like to know)|"
    r"(?:the|your|this) question|being asked|question is|question was|question:|asking)"
)

#: Telling something about the answer instead of naming it: a refusal beside it is half an answer.
HINT = _any(
    r"\bhints? (?:[:,=-]|is\b|it\b|the\b)|\bas a hint\b|\b(?:clue :|rhymes?|sounds? like|anagram|acronym|"
    r"initials|syllables?)\b",
    r"\b(?:starts?|begins?|beginning|starting|ends?|ending) (?:with|in|on) (?:an? |the )?(?:letter )?(?:\S{1,12} )?",
    r"\b(?:first|last|second|family|christian|given) (?:name|letter|syllable|two letters|word) (?:is|was|were|being|:)",
    r"\b(?:has|have|with|of) (?:\S{1,12} ){0,2}letters\b|\bletters?\b[^.!?]{0,30}\b(?:spell|together|make|form)",
    r"\b(?:think of|in case it helps|for what it's worth|between you and me|just saying|wink|backwards|"
    r"read in reverse)\b",
)

#: Where else one might ask: names in such a clause are helpers, no answers.
ADVICE = _any(
    r"\b(?:help|helps|helpful|try|consult|ask|check|search|google|wikipedia|look (?:it|this|that)? ?up|"
    r"encyclop\w{2,6}|atlas|library|websites?|"
    r"sources?|experts?|find (?:it|out|the|that|this)|refer to|contact|visit|recommend|suggest|reach out|turn to|"
    r"would know|might know|may know|"
    r"can tell|could tell|able to tell)\b",
    r"<N> (?:might|may|could|would|can|will)(?: \.| know| help| tell|$)",
    r"\b(?:my|last|latest) (?:\w{1,12} )?(?:update|cutoff|cut - off|knowledge|training)\b",
)
