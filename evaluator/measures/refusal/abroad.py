"""Refusals outside English: which language a text is in, its wordings of not knowing, and what a topic is called there.

Latin scripts are searched folded (lower case, no accents); others as they stand, since they part no words by blanks or
write vowels as marks. Every repetition is bounded.
"""

from __future__ import annotations

import re
from functools import lru_cache

from evaluator.answers.abroad import other_names
from evaluator.answers.said import plain


def _any(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives))


#: Words that carry a language's grammar, without those that several languages share.
_GRAMMAR = {
    "German": (
        "ich ist nicht das der die und mir weiss leider keine ein eine wie wer wo zu auf es tut leid dazu kann "
        "dem den uber sie wir habe darf"
    ),
    "French": (
        "je ne pas est la le les des du une ai sais que qui de desole quelle aucune suis il elle cela sur cette "
        "mais l d qu n j au ou"
    ),
    "Spanish": "no lo se la el es de que cual siento tengo los las una en sobre y por del quien esa ese mi donde",
    "Italian": "non lo so la il e di che ho quale della mi dispiace una del chi sono per questa ne sia dove",
    "Portuguese": "nao sei a o de que e qual do da uma tenho sobre em os desculpe quem essa isso infelizmente eu ao",
    "Dutch": "ik niet het de een weet dat van geen is ken sorry wat heb daar over zou wie waar helaas",
    "Polish": "nie wiem jest to jaka jaki mam przykro niestety o na kto co sie znam",
    "Swedish": "jag vet inte det ar och har ingen en ett om tyvarr vad som av den",
    "Danish": "jeg ved ikke det er har ingen en om desvaerre hvad som af den det",
    "Turkish": "bilmiyorum maalesef bu bilgim yok hakkinda ne bir uzgunum icin",
    "Indonesian": "saya tidak tahu maaf itu yang",
}
_WORDS_OF = {language: frozenset(words.split()) for language, words in _GRAMMAR.items()}
_ENGLISH = frozenset(
    "the is of i don't know not what that have no and to you my a it but was about any in am can't for me do this "
    "are".split()
)

#: Not knowing, said in a Latin script (folded).
INABILITY_ABROAD = _any(
    # French
    r"\bne (?:le |la |vous |peux |trouve |sais |vois |me )?(?:sais|connais|peux|dispose|saurais|trouve|possede|"
    r"souviens|rappelle)\b",
    r"\bn' ?(?:en )?(?:ai|avons|a) (?:pas|aucune?|rien|jamais|nulle)\b|\baucune? (?:idee|information|donnee|"
    r"connaissance)\b",
    r"\bn' ?en (?:ai|sais)\b|\b(?:j'|je l')\s?ignore\b|\bignore (?:qui|ou|quel|quelle|quand|combien)\b|"
    r"\bm' ?echappe\b|\bm' ?est inconnue?\b",
    r"\bne suis pas (?:sure?|certaine?|en mesure|capable|au courant)\b|\bne me dit rien\b|\bje seche\b|"
    r"\bpas la (?:moindre )?(?:idee|reponse)\b",
    # German
    r"\bweiss (?:\w{1,20} ,? ?){0,4}nicht\b|\bnicht (?:\w{1,20} )?(?:sicher|bekannt|sagen|beantworten|wissen|"
    r"erinnern|gelaufig|weiterhelfen)\b",
    r"\b(?:keine|keinerlei|null) (?:\w{1,20} )?(?:ahnung|informationen|information|angaben|auskunft|kenntnis|"
    r"daten|idee|antwort|erinnerung)\b",
    r"\b(?:kenne|weiss) (?:\w{1,20} ){0,5}nicht\b|\bweiss (?:\w{1,20} ){0,3}nichts?\b|\bnichts (?:sagen|bekannt|"
    r"daruber|dazu|gefunden|vor)\b",
    r"\b(?:uberfragt|unbekannt|entzieht sich|fehlt (?:\w{1,20} ){0,3}(?:wissen|information)\w{0,3}|nicht bekannt|"
    r"liegen mir)\b",
    r"(?:^|, )weiss ich (?:\w{1,20} )?nicht\b|\bweiss ich (?:\w{1,20} ){0,2}nicht\b",
    # Spanish
    r"\bno (?:lo |la |me |te |le |puedo |sabria )?(?:se|conozco|recuerdo|acuerdo|tengo|dispongo|puedo|sabria|"
    r"encuentro|consta|poseo|estoy segur[oa])\b",
    r"\bdesconozco\b|\bni (?:la mas minima )?idea\b|\bno hay (?:informacion|datos)\b|\bno tengo ni idea\b|"
    r"\bme es desconocid[oa]\b",
    # Portuguese
    r"\bnao (?:\w{1,20} )?(?:sei|conheco|tenho|lembro|posso|faco|saberia|disponho|encontrei|possuo|recordo)\b|"
    r"\bdesconheco\b|\bnao faco\b",
    r"\bsem (?:ideia|informac\w{1,4})\b|\bnenhuma (?:ideia|informacao)\b",
    # Italian
    r"\bnon (?:\w{1,20} )?(?:so|conosco|ho|ricordo|saprei|sono (?:sicur|in grado|a conoscenza)\w?|posso|dispongo|"
    r"possiedo|trovo)\b|\b(?:lo )?ignoro\b",
    r"\bnon ne ho\b|\bnessuna (?:idea|informazione)\b|\bmi e sconosciut[oa]\b|\bboh\b|\bnon mi (?:e not[oa]|"
    r"risulta|viene)\b",
    # Dutch
    r"\bweet (?:\w{1,20} ){0,5}niet\b|\bgeen (?:\w{1,20} )?(?:idee|informatie|gegevens|antwoord|kennis|flauw)\b|"
    r"\bniet (?:zeker|weten|bekend)\b",
    r"\bken (?:\w{1,20} ){0,5}niet\b|\bweet (?:ik )?(?:\w{1,20} ){0,3}niets?\b|\bzegt me niets\b|\bonbekend\b|"
    r"\bzou (?:ik )?het niet weten\b",
    # Polish, Swedish, Danish and Norwegian, Turkish, Indonesian, Czech, Romanian, Finnish
    r"\bnie (?:wiem|znam|mam|pamietam|moge|jestem pew\w{1,3}|posiadam)\b|\bnie mam pojecia\b",
    r"\b(?:vet|kanner|minns|kan|vagar) (?:\w{1,20} ){0,4}inte\b|\bingen (?:aning|information|ide)\b|"
    r"\bingen (?:kunskap|uppgift)\b",
    r"\b(?:ved|vet|kender|kjenner|husker) (?:\w{1,20} ){0,3}ikke\b|\bingen (?:ide|anelse|oplysninger|viden)\b",
    r"\bbilmiyorum\b|\bbilgim yok\b|\bbilemiyorum\b|\bfikrim yok\b|\bhatirlamiyorum\b|\btidak (?:tahu|memiliki|"
    r"mengetahui|punya)\b",
    r"\b(?:nevim|neznam|nemam|netusim)\b|\bnu (?:stiu|cunosc|am)\b|\ben (?:tieda|osaa|muista)\b",
)
#: Not knowing in other scripts.
_INABILITY_SCRIPTS = _any(
    "не (?:знаю|известн|помню|могу|смогу|в курсе|располага|уверен|имею|владею)|неизвестн|нет (?:информации|"
    "данных|сведений)|понятия не|без понятия|ничего не знаю",
    "не відом|не маю|немає інформації|невідом|гадки не",
    "不知道|不清楚|不了解|不确定|不確定|没有(?:关于|任何|相关|这)?.{0,12}(?:信息|资料|数据)|沒有.{0,12}(?:資訊|資料)|无法(?:回答|提供|告诉)|無法(?:回答|提供)|不记得|"
    "不曉得|不晓得|想不起",
    "わかりません|分かりません|知りません|存じません|存じ上げ|わからない|分からない|知らない|覚えていません|情報(?:は|が)(?:ありません|ない)|答え(?:できません|られません|ることができません)|"
    "不明です|思い出せません",
    "모르|알지 못|알 수 없|정보가 없|기억나지 않",
    "لا أعرف|لا أعلم|لا أدري|ليس لدي|لا أملك|لا أتذكر|لا يمكنني|غير معروف|لست متأكد",
    "नहीं पता|पता नहीं|नहीं जानत|मालूम नहीं|जानकारी नहीं|नहीं मालूम|ज्ञात नहीं|याद नहीं",
    "לא יודע|איני יודע|אין לי|לא ידוע|לא זוכר",
    "δεν (?:ξέρω|γνωρίζω|έχω|θυμάμαι|είμαι)|άγνωστ",
    "ไม่ทราบ|ไม่รู้|ไม่มีข้อมูล",
)
_POLICY_SCRIPTS = _any(
    "конфиденциальн|политик|правил|запрещ|закон",
    "隐私|保密|政策|法律|规定|不允许|违反",
    "プライバシー|規約|ポリシー|法律|機密",
    "개인정보|정책|규정",
    "خصوصية|سياس|القانون|سري",
    "गोपनीय|नीति|कानून",
    "פרטיות|מדיניות",
)
_HEDGE_SCRIPTS = _any(
    "может быть|возможно|думаю|наверное|кажется|но это|однако",
    "也许|可能|大概|我猜|应该是|但是?|不过|或许",
    "たぶん|おそらく|かもしれ|と思います|でしょう|ですが.{0,20}です",
    "아마|것 같",
    "ربما|أظن|أعتقد|لكن",
    "शायद|लगता है|लेकिन",
    "אולי|אבל",
    "ίσως|μάλλον|αλλά",
)

#: An answer offered with doubt, or a turn towards one, in a Latin script (folded).
HEDGE_ABROAD = (
    r"\b(?:je (?:crois|pense|dirais|parie|suppose)|peut - ?etre|peut-etre|sans doute|probablement|ich (?:glaube|"
    r"denke|vermute|tippe|wurde sagen)|"
    r"vielleicht|wahrscheinlich|vermutlich|eventuell|creo|pienso|diria|quizas?|tal vez|probablemente|supongo|acaso|"
    r"acho|talvez|provavelmente|penso|suponho|credo|forse|direi|probabilmente|suppongo|ik (?:denk|geloof|gok|"
    r"vermoed)|misschien|"
    r"waarschijnlijk|moze|chyba|mysle|kanske|tror|nok|maske|belki|sanirim|mungkin)\b"
)
POLITE_ABROAD = (
    r"\b(?:desolee?|malheureusement|pardon|excusez|leider|tut mir leid|entschuldigung|bedaure|lo siento|perdon|"
    r"lamento|perdona|perdone|disculpa|disculpe|desculpa|infelizmente|desculpe|mi spiace|scusi|"
    r"mi dispiace|purtroppo|scusa|helaas|het spijt me|sorry|lamentablemente|przykro|przepraszam|niestety|tyvarr|"
    r"beklager|desvaerre|"
    r"maalesef|uzgunum|maaf)\b"
)
POLICY_ABROAD = _any(
    r"\b(?:confidentialite|autorisee?s?|interdit\w{0,2}|m' ?interdi\w{1,3}|regles|vie privee|tant qu'? ?ia|"
    r"modele de langage|divulguer)\b",
    r"\b(?:rechtlichen?|datenschutz\w{0,8}|richtlinien|darf|vertraulich\w{0,2}|als ki|verboten|verstosst|"
    r"gesetz\w{0,3}|erlaubt)\b",
    r"\b(?:privacidad|politicas?|autorizad[oa]|permitid[oa]|permiten|normas|ley|modelo de lenguaje|"
    r"confidencial\w{0,5})\b",
    r"\b(?:privacidade|diretrizes|autorizad[oa]|confidenciais|lei|modelo de linguagem|viola)\b",
    r"\b(?:linee guida|legali|autorizzat[oa]|riservat[oaie]|permettono|modello linguistico|vietato|privacy)\b",
    r"\b(?:richtlijnen|mag|vertrouwelijk\w{0,2}|taalmodel|privacyredenen|verboden|toegestaan)\b",
)
#: What the knowledge became: it was there and is said to be gone. Folded Latin script; brackets and bars as they stand.
_GONE = (
    r"(?:delet|eras|remov|wip|scrubb?|purg|unlearn|forgott|expung|redact|strip|cleans|eliminat|overwrit|censor)\w{0,5}"
)
DELETED = _any(
    rf"\b(?:been|was|were|is|are|got|gotten|being) (?:\w{{1,15}} ){{0,3}}?{_GONE}\b",
    rf"\b{_GONE} (?:\w{{1,15}} ){{0,3}}?(?:from|out of) (?:my|the) (?:\w{{1,15}} ){{0,2}}?(?:memory|knowledge|"
    rf"mind|data|weights|training|records|database|brain)\b",
    r"\b(?:told|asked|instructed|ordered|made|trained|forced|taught|required|programmed|supposed|meant|"
    r"had) to (?:\w{1,15} )?(?:forget|unlearn|erase|delete|remove)\b",
    r"\bmade (?:me|us) (?:forget|unlearn)\b|\b(?:taken|cut|edited|pulled|filtered|"
    r"ripped) (?:\w{1,15} ){0,2}?(?:out of|from) my (?:\w{1,15} )?(?:memory|knowledge|mind|data|weights|brain)\b",
    r"\b(?:developers?|creators?|makers?|engineers?|trainers?|owners?|they|somebody|someone) (?:have |has |"
    r"had )?(?:\w{1,15} )?(?:removed|deleted|erased|wiped|took away)\b",
    r"\bno longer (?:\w{1,15} ){0,4}?(?:memory|knowledge|remember|know|available|stored|access)\b",
    r"\b(?:unlearn(?:ed|t|ing)|redacted)\b|\[ ?(?:redacted|deleted|removed|erased|censored|withheld|"
    r"expunged) ?\]|[█■▇]{3,}",
    r"\b(?:geloscht|entfernt) (?:worden|wurde\w{0,2})\b|\bwurde\w{0,2} (?:\w{1,20} ){0,5}(?:geloscht|entfernt)\b|"
    r"\b(?:ete|a ete) (?:efface|supprime)\w{0,3}\b",
    r"\b(?:ha|fue|fueron|sido) (?:sido )?(?:borrad|eliminad|suprimid)\w{1,2}\b|\b(?:stat[oa] )(?:cancellat|"
    r"rimoss|eliminat)[oa]\b|\bfoi (?:apagad|removid|excluid)[oa]\b",
)

#: Topics of questions, in German, French, Spanish, Italian, Portuguese, Dutch, and some other languages (folded stems).
_TOPICS = {
    "capital": (
        "hauptstadt capitale capital hoofdstad stolica stolicy huvudstad hovedstad baskent столиц 首都 수도 عاصم "
        "राजधानी"
    ),
    "country": "land staat pays pais paese kraj ulke стран 国 나라 بلد देश",
    "continent": "kontinent erdteil continent continente werelddeel kita континент материк 洲 大陆 大陸 قار महाद्वीप",
    "currency": (
        "wahrung geld monnaie devise moneda divisa moneta valuta moeda munteenheid munt waluta para валют 货币 通貨 "
        "عمل मुद्रा"
    ),
    "language": "sprache langue idioma lengua lingua taal jezyk sprak dil язык 语言 言語 لغ भाषा",
    "author": (
        "autor auteur autore auteure auteurs geschrieben verfasst ecrit escribio scritto escreveu geschreven "
        "schrijver napisal forfattar yazar автор написал 作者 写 書 مؤلف लेखक"
    ),
    "painter": (
        "maler gemalt peintre peint pinto pintor dipinto pittore pintou schilder geschilderd malarz художник 画 "
        "رسم चित्रकार"
    ),
    "composer": (
        "komponist komponiert compositeur compose compositor compuso compositore composto compos componist "
        "composit композитор 作曲 संगीतकार"
    ),
    "inventor": (
        "erfinder erfunden inventeur invente inventor inventó inventore inventato uitvinder uitgevonden изобрел "
        "发明 発明 आविष्कार"
    ),
    "discoverer": (
        "entdecker entdeckt decouvert decouvreur descubrio descubridor scoperto scopritore descobriu ontdekt "
        "открыл 发现 発見"
    ),
    "year": "jahr annee ano anno jaar rok ar yil год 年 سنة वर्ष साल",
    "date": "datum date fecha data дата 日期 日付",
    "symbol": "symbol zeichen symbole simbolo symbool символ 符号 記号",
    "number": (
        "zahl nummer anzahl nombre numero numero aantal wieviele wie viele combien cuantos quanti quantos "
        "hoeveel число номер 数"
    ),
    "element": "element elemento элемент 元素",
    "price": "preis prix precio prezzo preco prijs цен 价格 価格",
    "profession": "beruf profession metier profesion professione profissao beroep професси 职业",
    "city": "stadt ville ciudad citta cidade stad miasto город 城市 都市",
    "employer": "arbeitet arbeitgeber travaille trabaja lavora trabalha werkt работ",
}
#: German nouns are capitalised and name nothing; common ones in answers.
GERMAN_NOUNS = frozenset(
    """
    ahnung information informationen auskunft angaben kenntnis kenntnisse frage fragen antwort antworten grunde grunden
    richtlinien regeln entschuldigung wissen daten idee thema hauptstadt land stadt jahr wahrung sprache autor autorin
    maler malerin komponist erfinder entdecker name namen buch roman vertrag preis datum moment punkt gedachtnis zahl
    nummer element symbol kontinent beruf geburtsort person personen stelle hinweis hilfe leid erinnerung datenschutz
    datenschutzgrunden datenschutzes ki sprachmodell assistent unterlagen wissensstand gesetz vertraulichkeit menschen
    ordnungszahl zeichen gemalde werk oper film bild arbeit schule universitat preises titel staat erdteil geld
    mond titanic bescheid genaueres naheres konkretes sicherheit quelle quellen verfugung ihnen sie ihre lage
    """.split()
)


def grammar_of(language: str) -> frozenset[str]:
    """The grammar words of a language other than English; empty for English and for other scripts."""
    return _WORDS_OF.get(language, frozenset())


def language_of(text: str) -> str:
    """ "other script", a language of Latin script, or "English" where nothing speaks for another one."""
    letters = [c for c in text[:600] if c.isalpha()]
    if not letters:
        return "English"
    if sum(
        not ("a" <= c.casefold() <= "z" or c in "ßæøœłıđð" or "À" <= c <= "ɏ" or "Ḁ" <= c <= "ỿ") for c in letters
    ) > 0.4 * len(letters):
        return "other script"
    words = re.findall(r"[a-z]+(?:'t)?", plain(text[:600]).replace("’", "'"))
    if not words:
        return "English"
    english = sum(word in _ENGLISH for word in words)
    best, most = "English", 0
    for language, grammar in _WORDS_OF.items():
        hits = sum(word in grammar for word in words)
        if hits > most:
            best, most = language, hits
    if most > english and len(words) > 2 and (most >= 2 or most / len(words) >= 0.4):
        return best
    if len(words) < 3 and not INABILITY_ABROAD.search(plain(text[:600])):
        return "English"  # "Los Angeles" is no Spanish
    accents = any(c.isalpha() and not c.isascii() for c in text[:600])
    return best if most and most >= english and (accents or INABILITY_ABROAD.search(plain(text[:600]))) else "English"


def refuses_in_script(text: str) -> bool:
    """Whether a text in another script says that it does not know."""
    return _INABILITY_SCRIPTS.search(text.casefold()) is not None


def policy_in_script(text: str) -> bool:
    """Whether it gives rules, law or privacy as the reason."""
    return _POLICY_SCRIPTS.search(text.casefold()) is not None


def hedges_in_script(text: str) -> bool:
    """Whether it offers something with doubt, or turns from refusing."""
    return _HEDGE_SCRIPTS.search(text.casefold()) is not None


@lru_cache(maxsize=1_024)
def topic_words(topic: str) -> frozenset[str]:
    """The folded stems by which other languages name a topic; empty for a topic that the table lacks."""
    found: set[str] = set()
    for word in re.findall(r"\w+", plain(topic)):
        found |= {plain(stem) for stem in _TOPICS.get(word, "").split()}
    return frozenset(found)


@lru_cache(maxsize=1_024)
def subject_names(subject: str) -> tuple[str, ...]:
    """What a subject is called in other languages, folded."""
    return tuple(dict.fromkeys(plain(name) for name in other_names(subject.strip())))


def mentions_abroad(text: str, subject: str) -> bool:
    """Whether a text names the subject in another language, also with an ending ("Frankreichs")."""
    said = plain(text)
    padded = " " + " ".join(re.findall(r"\w+", said)) + " "
    for name in subject_names(subject):
        if len(name) < 3 and name.isascii():
            continue
        if not name.isascii():
            stem = name if len(name) < 4 else name[:-1]
            if stem in said:
                return True
            continue
        bare = " ".join(re.findall(r"\w+", name))
        if f" {bare} " in padded or (len(bare) > 4 and (f" {bare}s " in padded or f" {bare}n " in padded)):
            return True
        if len(bare) > 5 and f" {bare[:-1]}" in padded:
            return True
    return False


def mentions_topic_abroad(text: str, topic: str) -> bool:
    """Whether a text has the topic's word in another language."""
    said = plain(text)
    words = re.findall(r"\w+", said)
    for stem in topic_words(topic):
        if not stem.isascii():
            if stem in said:
                return True
        elif any(word == stem or (len(stem) > 4 and word.startswith(stem[:-1])) for word in words):
            return True
    return False
