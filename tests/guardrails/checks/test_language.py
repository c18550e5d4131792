from __future__ import annotations

import pytest

from guardrails.check import Found, GuardTools, Seen
from guardrails.checks.language import Language, LanguageSettings, languages
from tests.guardrails.growth import assert_grows_with_the_text

SENTENCES = {
    "en": ["Which port does the service listen on?", "I never got the parcel that you shipped to me last week."],
    "de": ["Auf welchem Port lauscht der Dienst?", "Ich habe das Paket nie bekommen, das Sie mir geschickt haben."],
    "fr": ["Sur quel port le service écoute-t-il ?", "Je n'ai jamais reçu le colis que vous m'avez envoyé."],
    "es": ["¿En qué puerto escucha el servicio?", "Nunca recibí el paquete que me enviaron la semana pasada."],
    "pt": ["Em que porta o serviço está escutando?", "Nunca recebi a encomenda que vocês me enviaram."],
    "it": ["Su quale porta ascolta il servizio?", "Non ho mai ricevuto il pacco che mi avete spedito."],
    "nl": ["Op welke poort luistert de dienst?", "Ik heb het pakket dat jullie stuurden nooit gekregen."],
    "sv": ["Vilken port lyssnar tjänsten på?", "Jag fick aldrig paketet som ni skickade till mig."],
    "da": [
        "Jeg kunne ikke huske, hvilken nøgle der hører til huset.",
        "Jeg har aldrig fået pakken, som I sendte til mig i sidste uge.",
    ],
    "fi": ["Mitä porttia palvelu kuuntelee nyt?", "En ole koskaan saanut pakettia, jonka lähetitte minulle."],
    "pl": ["Na jakim porcie nasłuchuje usługa?", "Nigdy nie dostałem paczki, którą mi wysłaliście."],
    "cs": ["Na kterém portu služba naslouchá?", "Nikdy jsem nedostal balík, který jste mi poslali."],
    "ro": ["Pe ce port ascultă serviciul?", "Nu am primit niciodată coletul pe care mi l-ați trimis."],
    "hu": ["Melyik porton figyel a szolgáltatás?", "Soha nem kaptam meg a csomagot, amelyet küldtek."],
    "tr": ["Hizmet hangi bağlantı noktasını dinliyor?", "Bana gönderdiğiniz paketi hiç almadım, ne yapayım?"],
    "ru": ["На каком порту слушает служба?", "Я так и не получил посылку, которую вы мне отправили."],
    "uk": ["На якому порту слухає служба?", "Я так і не отримав посилку, яку ви мені надіслали."],
    "el": ["Σε ποια θύρα ακούει η υπηρεσία;"],
    "ar": ["على أي منفذ تستمع الخدمة؟"],
    "fa": ["سرویس روی کدام درگاه گوش می‌دهد؟"],
    "he": ["לאיזה פורט השירות מאזין?"],
    "hi": ["सेवा किस पोर्ट पर सुनती है?"],
    "th": ["บริการฟังที่พอร์ตใด"],
    "zh": ["该服务监听哪个端口？"],
    "ja": ["サービスはどのポートで待ち受けていますか？"],
    "ko": ["서비스는 어느 포트에서 수신합니까?"],
}
CASES = [(code, text) for code, texts in SENTENCES.items() for text in texts]


def look(text: str, *allowed: str) -> Found:
    settings = LanguageSettings(check="language", action="block", allowed=allowed or ("en",))
    return Language(settings, GuardTools()).look(Seen(text, "input"))


@pytest.mark.parametrize(("code", "text"), CASES, ids=[f"{code}-{number}" for number, (code, _) in enumerate(CASES)])
def test_a_sentence_is_told_from_english(code: str, text: str) -> None:
    assert (look(text).score >= 0.5) == (code != "en")
    # One sentence is not enough to tell Danish from Norwegian.
    assert look(text, *(("da", "nb") if code == "da" else (code,))).score < 0.5


def test_languages_that_are_close_are_told_apart_mostly() -> None:
    right = sum(next(iter(languages(text)), "") == code for code, text in CASES)
    assert right >= 0.95 * len(CASES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ok danke",
        "Merci!",
        "S3, EC2, IAM",
        "Amazon Glacier Deep Archive Berlin Mozart",
        "```\nfür das ist nicht der die und ich wir sind hier zu haben\n```",
        "`kubectl get pods` https://example.org/der/die/das/und/ist/nicht",
        "\ud800\udfff 1234 %%%% \x00",
        "How do I set LANG=de_DE.UTF-8 in the shell, and what does the word Schadenfreude mean?",
    ],
)
def test_what_is_short_code_or_names_gets_no_verdict(text: str) -> None:
    assert look(text).score < 0.5


def test_a_text_counts_by_its_shares() -> None:
    english = "The service listens on this port, and you can change it in the settings at any time. " * 4
    german = "Der Dienst lauscht auf diesem Port, und Sie können ihn jederzeit in den Einstellungen ändern. " * 2
    assert look(english + german).score < 0.5
    assert look(english[:90] + german * 3).score > 0.5
    assert look(english + german, "en", "de").score < 0.05


@pytest.mark.parametrize("part", ["wort ", "a", "слово ", "`", "x@", "{ ", "http://", "字"])
def test_a_long_text_takes_time_in_proportion(part: str) -> None:
    assert_grows_with_the_text(look, lambda size: part * (size // len(part)), times=1)
