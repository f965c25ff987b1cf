"""Boilerplate: paragraphs that belong to the website and not to the article. The rules are data.

A rule is written for a whole paragraph and anchored at its start. No rule may take a sentence of reporting:
each names examples for and against it, and the tests hold it to them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST = 300
"""Characters; a longer paragraph is never boilerplate, and no rule looks at it. The longest lines of this kind
(cookie and redistribution notices) stay below it, and it bounds what a hostile text can cost."""

_NETWORK = (
    r"(?:facebook|twitter|x(?= |$|\W)|instagram|insta|whats ?app|telegram|tik ?tok|you ?tube|linked ?in|threads|"
    r"blue ?sky|mastodon|snapchat|pinterest|reddit|flipboard|google news|apple news|spotify|xing|tumblr|viber|"
    r"messenger|discord|social media|les r[ée]seaux(?: sociaux)?|social-media-kan[äa]len?)"
)

_BUTTON = rf"(?:{_NETWORK}|e-?mail|print)"

_LINK = r"(?:\s?[:>|»]| [–—-] ).*"
"""A heading of a link, and the link."""

_NEWS = (
    r"\b(?:news|newsletter|stories|story|alerts|updates|headlines|coverage|channel|app(?: store)?|google play)\b"
)
_SIGN_UP = r"(?:sign up|subscribe|register|join|get|receive)"
_WRITE_TO = (
    r"\b(?:contact|write to|e-?mail|call|get in touch|let us know|tell us|send|share)\b[^.!?]{0,30}"
    r"\b(?:us|our|the [^.!?]{1,40}\b(?:desk|newsroom|team|editors?))\b"
)
_RESERVED = r"(?:all rights reserved|tous droits r[ée]serv[ée]s|alle rechte vorbehalten)"
_COPIED = (
    r"(?:published|reproduced|copied|republished|broadcast|redistributed)\b.{0,120}"
    r"\b(?:rewritten|redistributed|written|permission|consent|any form)\b.*"
)

_REPORTED = re.compile(
    r"\b(?:said|told|added|warned|urged|replied|recalled|"
    r"(?:a|ont|avait|avaient) (?:dit|déclaré|affirmé|indiqué|ajouté|expliqué|plaidé)|"
    r"sagten?|erklärten?|berichteten?|rieten?|riet|warnten?|forderten?)\b",
    re.IGNORECASE,
)
"""Somebody's words are reported: then it is the article's, whatever a rule says."""

_DECORATION = " \t*•▪►▶→➡»›>|#_~=–—-[](){}.:…👉📲📱🔔✉️📩"


@dataclass(frozen=True)
class Rule:
    """A kind of boilerplate in one language: what it takes (`examples`) and what it must leave (`reporting`)."""

    name: str
    pattern: re.Pattern[str]
    examples: tuple[str, ...]
    reporting: tuple[str, ...]


def rule_for(paragraph: str) -> str | None:
    """The name of the first rule that takes this paragraph, `None` where it is the article's.

    Looks at no more than `LONGEST` characters.
    """
    if len(paragraph) > LONGEST:
        return None
    text = paragraph.replace("’", "'").strip(_DECORATION)
    rule = next((rule for rule in RULES if rule.pattern.match(text)), None)
    return rule.name if rule and not _REPORTED.search(text) else None


def _rule(name: str, *patterns: str, examples: tuple[str, ...], reporting: tuple[str, ...]) -> Rule:
    whole = "|".join(patterns)
    return Rule(name, re.compile(rf"(?:{whole})\W*$", re.IGNORECASE), examples, reporting)


RULES: tuple[Rule, ...] = (
    _rule(
        "follow-en",
        rf"follow [^.!?:;]{{1,60}} (?:on|via) (?:our )?{_NETWORK}\b(?! and you )[^.!?]*",
        rf"(?:like|find|join) us on (?:our )?{_NETWORK}\b[^.!?]*",
        r"follow us(?: on)?",
        examples=(
            "Follow STV News on WhatsApp",
            "Follow us on Facebook, Twitter and Instagram.",
            "Follow Paper03 Herald on WhatsApp for the latest news.",
            "► Follow @example on X for live updates",
            "Find us on Facebook",
        ),
        reporting=(
            "Follow the money, prosecutors were told when the trial of the former treasurer opened on Monday.",
            "Follow the minister on Twitter and you will see a different man, his opponents say.",
            "Followers on Facebook rose to 4 million, the company said.",
            "“Follow us on Facebook,” the leaflet reads.",
            "Find us on the map, the islanders joke.",
            "Follow-up talks on Facebook's data centre are due in May.",
        ),
    ),
    _rule(
        "share-en",
        r"share(?: this| the| our)?(?: article| story| page| post| video| news| link)?",
        rf"share(?: this)?(?: article| story| page| post)? (?:on|via|by|to) (?:{_NETWORK}|e-?mail|link)\b[^.!?]*",
        r"share(?: this)?(?: article| story| page| post| video)? with (?:your )?(?:friends|family)\b.*",
        r"copy link",
        r"print this (?:article|page)",
        examples=(
            "Share",
            "Share this article",
            "Share on Facebook",
            "Share this story with your friends",
            "Share via e-mail, WhatsApp",
        ),
        reporting=(
            "Share prices fell by 3 percent in Tokyo.",
            "Share the burden, the finance minister told his colleagues.",
            "Share of the vote: Labour 34 percent, Conservatives 30 percent",
            "Share this island with 4,000 penguins and you learn patience.",
        ),
    ),
    _rule(
        "share-buttons",
        rf"{_BUTTON}\W{{1,5}}{_BUTTON}\W{{1,5}}(?:{_BUTTON}|and|or|more|link|\W){{1,20}}",
        examples=(
            "Facebook Twitter WhatsApp Email",
            "Facebook | X | LinkedIn | Print",
        ),
        reporting=(
            "Facebook, Twitter and Google shares rose.",
            "Facebook",
            "Twitter, Facebook and WhatsApp were blocked across the country.",
        ),
    ),
    _rule(
        "qr-code-en",
        r"scan (?:the|this|our) qr[ -]?code",
        r"scan (?:the|this|our) qr[ -]?code to (?:read|watch|listen|download|subscribe|join|follow)\b[^,;]*",
        rf"scan (?:the|this|our) qr[ -]?code (?:to|for|on|with)\b[^,;.!?]{{0,80}}{_NEWS}[^,;]*",
        examples=(
            "Scan the QR code on your mobile device for all the latest news from around the country",
            "Scan the QR code on your phone to get the Paper16 Herald app.",
            "Scan this QR code to read more.",
            "Scan the QR code",
        ),
        reporting=(
            "The company said users could scan the QR code on their mobile device for all the latest news.",
            "Scan the QR code at the entrance, and a menu in four languages appears on your phone.",
            "Scan the QR code on the bottle and read where the grapes grew.",
            "Scan the QR code to download the app, the fraudsters told their victims.",
        ),
    ),
    _rule(
        "newsletter-en",
        rf"{_SIGN_UP}\b[^.!?]{{0,90}}\b(?:newsletters?|inbox(?! and )|mailing list|daily briefing)\b.*",
        rf"{_SIGN_UP}\b[^.!?]{{0,90}}\be-?mail (?:alerts?|updates)\b.*",
        r"enter your e-?mail(?: address)?\b.*",
        examples=(
            "Sign up for the Paper03 Herald morning newsletter.",
            "Sign up to our free daily newsletter for the best stories of the day, sent at 7am.",
            "Get the day's top headlines delivered to your inbox every morning.",
            "Subscribe to our mailing list",
            "Enter your email address",
        ),
        reporting=(
            "Signing up for the newsletter was enough to be put on the list, the court heard.",
            "Subscribers to the newsletter fell by 3 percent last year.",
            "Sign up for our newsletter, the group told its members, and be safe from arrest.",
            "Get a letter from the bank in your inbox and you think twice, clients complain.",
            "Receive a briefing from the secret service before each trip: that is the rule for ministers.",
            "Get out the vote was the order of the day, and campaign letters went to every house.",
        ),
    ),
    _rule(
        "subscribe-en",
        r"subscribe(?: now| today| here| for free)?",
        r"subscribe(?: now| today)? (?:on|via|for)\b[^.!?]*",
        rf"subscribe(?: now| today)? to (?:us|our|(?:the )?(?-i:[A-Z])|{_NETWORK})[^,;.!?]*",
        r"already a (?:subscriber|member) ?\?.*",
        r"become a (?:subscriber|member)(?: (?:today|now|for|to (?:read|support))\b[^,;:]*)?",
        r"this (?:article|story|content) is [^,;.!?]{0,20}\b(?:for|to)\b[^,;.!?]{0,20} subscribers\b.*",
        examples=(
            "Subscribe now!",
            "Subscribe to our YouTube channel",
            "Subscribe to The Daily Example for full access",
            "Already a subscriber? Log in",
            "This article is for subscribers only.",
        ),
        reporting=(
            "Subscribe to a streaming service and you pay for films that you never watch.",
            "Subscribe to the theory that markets are wise and you will lose your money.",
            "Already a member of Nato, the country wants to join the Union.",
            "This story is about two subscribers of a dating site.",
            "Subscriptions rose by a tenth in the first quarter.",
            "Subscribe to the bonds before Friday, brokers told their clients.",
            "Become a member of the European Union: that is still the aim of the government in Skopje.",
        ),
    ),
    _rule(
        "read-more-en",
        rf"(?:also read|read also|read more|read next|see also|watch also|must read|further reading){_LINK}",
        rf"(?:more on this(?: story)?|you (?:may|might) also (?:like|be interested in)|don't miss){_LINK}",
        rf"related(?: articles?| stories| story| news| content| topics?| reading)?{_LINK}",
        rf"more from (?-i:[A-Z])[^.!?:]{{1,50}}{_LINK}",
        r"(?:read|see|watch) (?:more|also|next|the full (?:story|article|report|interview))",
        r"read more (?:on|about|from|here|at|of our)\b[^,;.!?]*",
        r"more on this story|related (?:articles|stories|topics|content)|you may also like",
        r"most read|trending now|(?:continue|keep) reading",
        r"(?:click|tap) here (?:to|for)\b[^.!?]*",
        examples=(
            "Read more",
            "Read more: Looted colonial art",
            "More from Paper04 Herald: the stories our readers liked on 2026-01-03.",
            "READ ALSO – What we know about the talks",
            "Read more on this story here",
            "Click here to read the full report",
            "Related articles",
        ),
        reporting=(
            "Read more books, the minister told pupils at the opening of the library.",
            "Read more carefully, the contract says the opposite.",
            "More from less: that is how the new minister sums up the plan.",
            "Related-party deals are under scrutiny again.",
            "Related companies owned the land, according to the register.",
            "See also how the harbour has changed since the war, when it was all cranes.",
            "Don't miss the point: this is about power.",
        ),
    ),
    _rule(
        "app-en",
        r"(?:download|install|get) (?:the|our|your)\b[^,;.!?]{0,40}\bapps?(?: (?:here|now|today|for free))?",
        rf"(?:download|install|get) (?:the|our|your)\b[^,;.!?]{{0,40}}\bapps? (?:for|to|from)\b[^,;]*{_NEWS}[^,;]*",
        r"available (?:on|in) (?:the )?(?:app store|google play)\b[^,;]*",
        examples=(
            "Download our app",
            "Get the Example News app for breaking news alerts on your phone.",
            "Download the free app from the App Store or Google Play",
        ),
        reporting=(
            "Download the app, the scammers told their victims, and enter the code.",
            "Getting the app through Apple's review took the start-up nine months.",
            "Open the app on a tractor and it shows the moisture of every field.",
            "Available in the App Store since 2008, the game made its author rich.",
            "Download speeds in the app rose after the update.",
            "Install our app and the phone is theirs: that is how the gang worked, police believe.",
        ),
    ),
    _rule(
        "contact-en",
        rf"(?:do you (?:have|know)|have you|got|are you)\b[^.!?]{{0,80}}[?.] ?[^.!?]{{0,30}}{_WRITE_TO}.*",
        r"(?:do you have|got|have) a (?:story|tip|news tip)\b[^.!?]{0,80}\?.*",
        examples=(
            "Have you seen something? Write to the Paper12 Herald news desk in confidence.",
            "Got a story? Contact our newsroom at news@example.org",
            "Do you have a tip? Send it securely.",
        ),
        reporting=(
            "Have you seen this man? The question is on every lamp post in the town.",
            "Have you no shame? Write to your member of parliament, he shouted.",
            "Do you have enough to eat? Four in ten said they had not.",
        ),
    ),
    _rule(
        "comments-en",
        r"comments (?:are|have been) (?:now )?(?:closed|turned off)(?:[.;].*| (?:for|on) (?:the|this)\b.*)?",
        r"(?:leave|post|add) a (?:comment|reply)",
        r"(?:view|show|read|hide) (?:all )?(?:\d{1,5} )?comments",
        r"join the (?:conversation|discussion)",
        r"(?:log|sign) in to (?:comment|join)\b.*",
        examples=(
            "Comments are closed.",
            "Leave a comment",
            "Join the conversation",
            "View all 34 comments",
        ),
        reporting=(
            "Comments are closed to the public at such hearings, but the lawyers may speak.",
            "Comments by the central bank's governor moved the market.",
            "Join the conversation between Paris and Berlin: that is what London wants.",
        ),
    ),
    _rule(
        "copyright",
        r"(?:©|copyright ?(?:©|\(c\)))\W{0,3}.{0,150}",
        r"(?-i:\(?[cC]\)) \d{4} (?-i:[A-Z]).*",
        r"copyright\W{0,3}\d{4}(?:\W{1,3}\d{4})?",
        r"copyright\W{0,3}\d{4}(?:\W{1,3}\d{4})?\W{1,3}(?:by\b|(?-i:[A-Z])).*",
        examples=(
            "© 2023 STV News Limited",
            "Copyright 2023 The Associated Press. All rights reserved.",
            "(c) 2020 Example Media",
            "Copyright © Example Ltd",
        ),
        reporting=(
            "Copyright law must change, the committee found.",
            "Copyright 2021 was the title of her second novel.",
            "(c) 1997 budget was adopted without a vote.",
            "Copyright holders will be paid from January.",
        ),
    ),
    _rule(
        "rights-reserved",
        rf"(?:.{{0,150}}[.,;:|)–—-] ?)?{_RESERVED}(?:[.,;] .{{0,150}})?",
        examples=(
            "All rights reserved.",
            "Example Media Ltd, London. All rights reserved. Terms apply.",
            "Agence Exemple - Tous droits réservés",
            "Beispiel Verlag. Alle Rechte vorbehalten.",
        ),
        reporting=(
            "All rights reserved for the island's people under the treaty were abolished in 1923.",
            "The studio sold the film with all rights reserved.",
            "Tous droits réservés aux anciens combattants seront revus.",
        ),
    ),
    _rule(
        "redistribution-en",
        rf"(?:this (?:material|content|article|story|document|copy)|no part of this)\b.{{0,40}}\bbe {_COPIED}",
        r"reproduction (?:in whole or in part |without permission ){0,2}is (?:strictly )?prohibited\b.*",
        examples=(
            "This material may not be published, broadcast, rewritten or redistributed without permission.",
            "No part of this article may be reproduced in any form.",
            "Reproduction in whole or in part without permission is prohibited",
        ),
        reporting=(
            "This material may not be exported without the consent of the ministry.",
            "This document may not be published before 2050, the court ruled.",
            "Reproduction of wild parrots in cages is prohibited since May.",
            "Reproduction is slow: a female has one calf in five years.",
        ),
    ),
    _rule(
        "cookies-en",
        r"(?:we|(?:this|our) (?:web)?site)\b[^.!?]{0,60}\b(?:uses?|using|sets?|stores?)\b[^.!?]{0,40}\bcookies\b.*",
        r"by (?:using|continuing|clicking|browsing)\b[^.!?]{0,100}\bcookies\b.*",
        r"(?:accept|reject|manage|allow) (?:all )?cookies",
        r"cookie (?:settings|policy|preferences|notice)",
        examples=(
            "We use cookies to improve your experience. By continuing you agree to our privacy policy.",
            "This website uses cookies.",
            "Accept all cookies",
        ),
        reporting=(
            "We ate the cookies that the neighbours had left at the door.",
            "Cookies on Google's browser will go by 2025, regulators were told.",
            "This site on the Baltic was chosen for the cookies factory.",
        ),
    ),
    _rule(
        "advertisement",
        r"advertisement|publicité|anzeige|werbung",
        r"(?:article|story) continues (?:below|after)\b.*",
        r"scroll (?:down )?to continue\b.*",
        r"la suite après (?:la|cette) publicité",
        examples=(
            "Advertisement",
            "Story continues below advertisement",
            "Publicité",
            "- Anzeige -",
        ),
        reporting=(
            "Advertisement revenue fell by 4 percent.",
            "The story continues below the surface.",
            "Anzeige gegen Unbekannt hat die Polizei erstattet.",
            "Publicité mensongère : trois dirigeants devant le tribunal",
        ),
    ),
    _rule(
        "follow-fr",
        rf"(?:suivez|retrouvez)(?:-nous| [^.!?:;]{{1,60}}) sur (?:[^.!?:]{{1,30}} )?{_NETWORK}\b[^.!?:]*",
        examples=(
            "Suivez-nous sur Facebook et Instagram",
            "Retrouvez Le Journal sur les réseaux sociaux.",
        ),
        reporting=(
            "Suivez l'argent, ont plaidé les procureurs devant la cour.",
            "Suivez le ministre sur Twitter : vous n'y verrez jamais un chiffre.",
            "Suivez le guide sur les sentiers du parc, ouverts depuis mai.",
        ),
    ),
    _rule(
        "share-fr",
        r"partage[rz](?: cet article| cette page| cette vidéo| l'article)?",
        rf"partage[rz](?: cet article| cette page| l'article)? (?:sur|par|via) (?:{_NETWORK}|e-?mail)\b[^.!?]*",
        examples=(
            "Partager",
            "Partagez cet article sur Facebook",
            "Partager par e-mail",
        ),
        reporting=(
            "Partager le pouvoir est difficile, reconnaît le ministre.",
            "Partagez vos richesses, réclament les manifestants.",
        ),
    ),
    _rule(
        "qr-code-fr",
        r"(?:scannez|flashez) (?:le|ce|notre) (?:qr[ -]?code|code qr|flashcode)(?: (?:pour|et)\b[^,;.!?]*)?",
        examples=(
            "Scannez le QR code pour télécharger l'application",
            "Flashez ce QR code",
        ),
        reporting=("Scannez le QR code à l'entrée, le menu s'affiche en quatre langues.",),
    ),
    _rule(
        "newsletter-fr",
        r"(?:inscrivez-vous|abonnez-vous|s'inscrire|s'abonner|recevez)\b[^.!?]{0,90}\b(?:newsletters?|infolettres?)\b.*",
        r"(?:inscrivez-vous|abonnez-vous|recevez)\b[^.!?]{0,90}\b(?:boîte (?:mail|de réception)|par e-?mail)\b.*",
        examples=(
            "Inscrivez-vous à notre newsletter quotidienne.",
            "Recevez chaque matin l'essentiel de l'actualité dans votre boîte mail",
        ),
        reporting=(
            "Les abonnés de la newsletter ont reçu un démenti.",
            "Recevez mes condoléances, écrit-elle.",
        ),
    ),
    _rule(
        "subscribe-fr",
        r"abonnez-vous",
        r"abonnez-vous (?:dès|pour|à|au|sur|maintenant|gratuitement)\b[^,;.!?]*",
        r"déjà abonnée?s? ?\?.*",
        r"il vous reste [\d.,]{1,6} ?% de cet article.{0,60}\babonné.*",
        r"(?:(?:cet )?article|contenu|la suite) (?:est )?réservée?.{0,30}\babonné.*",
        examples=(
            "Abonnez-vous dès 1 € par mois",
            "Article réservé aux abonnés",
            "Il vous reste 65.4% de cet article à lire. La suite est réservée aux abonnés.",
            "Déjà abonné ? Connectez-vous",
        ),
        reporting=(
            "Déjà abonnés à la défaite, les Bordelais recommencent.",
            "Les abonnés du câble paieront plus cher.",
            "Cet article réservé aux dames se vend bien.",
        ),
    ),
    _rule(
        "read-more-fr",
        rf"à (?:lire|voir|écouter){_LINK}",
        rf"(?:à )?(?:lire|voir|écouter|lire et voir) (?:aussi|également|ailleurs){_LINK}",
        r"(?:lire|voir|écouter) ?: .*",
        rf"(?:sur le même (?:sujet|thème)|notre (?:dossier|analyse|reportage)|dans la même rubrique){_LINK}",
        r"(?:à )?(?:lire|voir) (?:aussi|également|la suite|plus|l'article complet)",
        r"lire la suite\b.{0,40}|en savoir plus|sur le même (?:sujet|thème)",
        r"(?:cliquez|appuyez) ici pour\b[^.!?]*",
        examples=(
            "Lire aussi : Le gouvernement recule",
            "À lire également",
            "Lire la suite",
            "En savoir plus",
        ),
        reporting=(
            "Lire aussi bien en français qu'en anglais, tel est le but de l'école.",
            "Lire – et comprendre – reste difficile pour un enfant sur cinq.",
            "Voir Naples et mourir : la ville attire de nouveau.",
        ),
    ),
    _rule(
        "app-fr",
        r"téléchargez (?:l'|notre |votre )(?:[^,;.!?]{1,30} )?(?:application|appli)\b[^,;]*",
        examples=(
            "Téléchargez notre application",
            "Téléchargez l’application du Journal",
            "Téléchargez l'application Le Journal pour rester informé.",
        ),
        reporting=("Téléchargez l'application, ont dit les escrocs à leurs victimes.",),
    ),
    _rule(
        "copyright-fr",
        r"(?:toute )?reproduction(?: totale| partielle| ou| même| est| strictement){0,6} interdite\b.*",
        r"droits de reproduction et de diffusion réservés.*",
        examples=(
            "Toute reproduction interdite",
            "Reproduction même partielle interdite sans autorisation.",
        ),
        reporting=(
            "La reproduction des saumons a repris dans la Loire.",
            "Reproduction humaine interdite, clonage puni : le texte est voté.",
        ),
    ),
    _rule(
        "cookies-fr",
        r"(?:nous utilisons|(?:ce|notre) site utilise|en poursuivant)\b[^.!?]{0,80}\bcookies\b.*",
        r"(?:tout )?accepter (?:les|tous les) cookies",
        r"(?:gestion|paramétrer|gérer)(?: des| les)? cookies",
        examples=(
            "Ce site utilise des cookies.",
            "Nous utilisons des cookies pour mesurer notre audience.",
        ),
        reporting=("Les cookies de la grand-mère se vendent dans toute l'Europe.",),
    ),
    _rule(
        "follow-de",
        rf"(?:folgen sie [^.!?:;]{{1,60}}|folg[et] uns) (?:auf|bei|via|in) (?:unseren )?{_NETWORK}\b[^.!?]*",
        examples=(
            "Folgen Sie uns auf Facebook und X!",
            "Folge uns bei Instagram",
        ),
        reporting=(
            "Folgen Sie dem Geld, rieten die Ermittler ihren Kollegen.",
            "Folgt man dem Minister auf Twitter, sieht man einen anderen Mann.",
            "Folgen hatte der Streit auf Facebook keine.",
        ),
    ),
    _rule(
        "share-de",
        r"(?:(?:diesen )?(?:artikel|beitrag) |seite )?(?:teilen|weiterempfehlen|weitersagen)",
        r"teilen sie dies(?:en (?:artikel|beitrag))?(?: mit)?",
        rf"(?:(?:diesen )?(?:artikel|beitrag) )?teilen (?:auf|über|via|per|bei) (?:{_NETWORK}|e-?mail)\b[^.!?]*",
        r"(?:artikel|seite|beitrag) (?:drucken|merken|versenden)",
        examples=(
            "Teilen",
            "Artikel teilen",
            "Teilen Sie dies mit:",
            "Teilen auf Facebook",
            "Artikel drucken",
        ),
        reporting=(
            "Teilen will gelernt sein, das zeigt der Streit um das Erbe.",
            "Teilen der Stadt fehlt der Strom.",
        ),
    ),
    _rule(
        "qr-code-de",
        r"scannen? (?:sie )?(?:den|diesen|unseren) qr-?code",
        r"scannen? (?:sie )?(?:den|diesen|unseren) qr-?code\b[^.!?]*",
        examples=(
            "Scannen Sie den QR-Code und laden Sie die App.",
            "Scannen Sie diesen QR-Code",
        ),
        reporting=("Wer den QR-Code scannt, sieht die Speisekarte in vier Sprachen.",),
    ),
    _rule(
        "newsletter-de",
        r"(?:abonnieren sie|melden sie sich|bestellen sie)\b[^.!?]{0,90}newsletter\b.*",
        r"(?:jetzt |hier |zum |den |unseren |kostenlosen |für ){1,5}[\w-]{0,30}newsletter (?:abonnieren|anmelden)",
        r"hier\b[^.!?]{0,40}newsletter\W{0,3}(?:an|abmeld)[^.!?]*",
        r"newsletter (?:abonnieren|bestellen)",
        examples=(
            "Abonnieren Sie jetzt den Themen-Newsletter «Wohnen».",
            "Melden Sie sich für unseren Newsletter an!",
            "Newsletter abonnieren",
            "Jetzt zum kostenlosen Newsletter anmelden",
        ),
        reporting=(
            "Jetzt kann jeder Bürger den Newsletter abonnieren.",
            "Der Newsletter der Partei ging an 40.000 Mitglieder.",
            "Jetzt ermittelt die Polizei wegen des Newsletters.",
        ),
    ),
    _rule(
        "subscribe-de",
        r"jetzt abonnieren",
        r"abonnieren sie (?:uns|unseren?|jetzt|die|den|das)\b[^,;.!?]*",
        r"(?:dieser artikel|dieser beitrag|dieser inhalt) ist (?:nur |exklusiv )?für (?:unsere )?abonnent.*",
        r"(?:bereits|schon) (?:abonnent|registriert|kunde)[^.!?]{0,20}\?.*",
        r"weiterlesen mit\b.*",
        examples=(
            "Jetzt abonnieren!",
            "Abonnieren Sie unseren Kanal",
            "Dieser Artikel ist nur für Abonnenten verfügbar.",
            "Bereits Abonnent? Hier anmelden",
        ),
        reporting=(
            "Bereits registriert sind 4.000 Wähler.",
            "Abonnenten zahlen ab Mai zwei Euro mehr.",
            "Jetzt abonnieren immer mehr Leser nur noch digital.",
        ),
    ),
    _rule(
        "read-more-de",
        rf"(?:lesen sie (?:auch|mehr|dazu|hier|weiter)|mehr (?:zum thema|dazu|davon|lesen)){_LINK}",
        rf"(?:siehe auch|lesetipp|auch interessant|passend dazu|das könnte sie auch interessieren){_LINK}",
        r"lesen sie (?:auch|mehr|weiter)|mehr (?:zum thema|dazu|lesen)|siehe auch|weiterlesen|mehr erfahren",
        r"auch interessant|das könnte sie auch interessieren|schon gelesen",
        r"weitere (?:artikel|nachrichten|informationen)",
        r"lesen sie (?:hier|dazu)\b[^.!?]*",
        r"klicken sie hier,? um\b[^.!?]*",
        examples=(
            "Lesen Sie auch: So wird der Winter",
            "Mehr zum Thema",
            "Weiterlesen",
            "Lesen Sie hier das ganze Gespräch",
            "Schon gelesen?",
        ),
        reporting=(
            "Lesen Sie mehr Bücher, riet der Minister den Schülern.",
            "Mehr zum Thema Rente will die Regierung im Herbst vorlegen.",
            "Weitere Informationen gab die Polizei nicht bekannt.",
        ),
    ),
    _rule(
        "app-de",
        r"(?:laden sie|lade|hol(?:en sie)?|installieren sie)(?: \w{1,8})? (?:die|unsere)\b[^,;.!?]*\bapp\b[^,;]*",
        examples=(
            "Laden Sie unsere App herunter",
            "Laden Sie jetzt die Beispiel-App im App Store.",
        ),
        reporting=(
            "Laden Sie die App, sagten die Betrüger ihren Opfern.",
            "Laden muss die App jetzt nur noch einmal am Tag.",
        ),
    ),
    _rule(
        "copyright-de",
        r"(?:vervielfältigung|nachdruck)\b.{0,60}\bnur mit (?:\w{1,20} )?genehmigung.*",
        r"(?:vervielfältigung|nachdruck)\b.{0,60}\b(?:verboten|nicht gestattet|untersagt).*",
        examples=(
            "Vervielfältigung nur mit Genehmigung der Redaktion",
            "Nachdruck verboten",
        ),
        reporting=(
            "Nachdruck legte die Ministerin auf das Wort Frieden.",
            "Weiterverbreitung von Atomwaffen bleibt nach dem Vertrag untersagt.",
        ),
    ),
    _rule(
        "cookies-de",
        r"(?:wir|(?:diese|unsere) (?:web)?seite) (?:verwende|nutz|setz)(?:n|en|t|et)\b[^.!?]{0,80}\bcookies\b.*",
        r"durch die (?:weitere )?nutzung\b[^.!?]{0,80}\bcookies\b.*",
        r"(?:alle )?cookies (?:akzeptieren|ablehnen|zulassen)|cookie-einstellungen",
        examples=(
            "Diese Webseite verwendet Cookies.",
            "Wir nutzen Cookies, um unser Angebot zu verbessern.",
            "Alle Cookies akzeptieren",
        ),
        reporting=("Wir backen Cookies nach dem Rezept der Großmutter.",),
    ),
)
"""In order: the first rule that matches gives its name."""
