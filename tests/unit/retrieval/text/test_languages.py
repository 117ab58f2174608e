from __future__ import annotations

import pytest

from retrieval.text.languages import language


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("How long may I return a bike and what does it cost?", "en"),
        ("Wie lange darf ich das Fahrrad zurückgeben, und was kostet es?", "de"),
        ("Combien de temps puis-je rendre le vélo et que dois-je payer pour cela ?", "fr"),
        ("¿Cuánto tiempo tengo para devolver la bicicleta y qué cuesta el envío?", "es"),
        ("Per quanto tempo posso restituire la bicicletta e che cosa devo pagare?", "it"),
        ("Por quanto tempo posso devolver a bicicleta e o que não está incluído?", "pt"),
        ("Hoe lang kan ik de fiets terugbrengen en wat kost het?", "nl"),
        ("Jak długo mogę zwrócić rower i co to jest za opłata?", "pl"),
        ("Hur länge kan jag lämna tillbaka cykeln och vad kostar det?", "sv"),
        ("Bisikleti ne kadar sürede iade edebilirim ve bu için ne ödenir?", "tr"),
        ("Сколько дней можно вернуть велосипед?", "cyrillic"),
        ("自転車はいつまで返品できますか", "ja"),
        ("自行车可以退货吗", "zh"),
        ("자전거를 언제까지 반품할 수 있나요", "ko"),
        ("متى يمكنني إرجاع الدراجة", "arabic"),
        ("Bike?", "unknown"),
        ("42", "unknown"),
        ("", "unknown"),
        ("Ünïcödé", "unknown"),
    ],
)
def test_a_text_is_named_by_its_language_or_its_script(text: str, name: str) -> None:
    assert language(text) == name
