"""Names of countries and the like, as English has them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from guardrails.checks.pii_numbers import Hit

_ONE_WORD = re.compile(r"\w+").findall(
    """Afghanistan Albania Algeria Andorra Angola Argentina Armenia Australia Austria Azerbaijan Bahamas Bahrain
    Bangladesh Barbados Belarus Belgium Belize Benin Bhutan Bolivia Bosnia Botswana Brazil Brunei Bulgaria
    Burundi Cambodia Cameroon Canada Chile China Colombia Comoros Congo Croatia Cuba Cyprus Czechia Denmark
    Djibouti Ecuador Egypt Eritrea Estonia Eswatini Ethiopia Fiji Finland France Gabon Gambia Germany Ghana
    Greece Grenada Guatemala Guinea Guyana Haiti Honduras Hungary Iceland India Indonesia Iran Iraq Ireland
    Israel Italy Jamaica Japan Kazakhstan Kenya Kiribati Kosovo Kuwait Kyrgyzstan Laos Latvia Lebanon Lesotho
    Liberia Libya Liechtenstein Lithuania Luxembourg Madagascar Malawi Malaysia Maldives Malta Mauritania
    Mauritius Mexico Micronesia Moldova Monaco Mongolia Montenegro Morocco Mozambique Myanmar Namibia Nauru
    Nepal Netherlands Nicaragua Nigeria Norway Oman Pakistan Palau Palestine Panama Paraguay Peru Philippines
    Poland Portugal Qatar Romania Russia Rwanda Samoa Senegal Serbia Seychelles Singapore Slovakia Slovenia
    Somalia Spain Sudan Suriname Sweden Switzerland Syria Taiwan Tajikistan Tanzania Thailand Togo Tonga Tunisia
    Turkmenistan Tuvalu Uganda Ukraine Uruguay Uzbekistan Vanuatu Venezuela Vietnam Yemen Zambia Zimbabwe
    Greenland Scotland England Wales Bermuda Gibraltar Guam Guernsey Jersey Martinique Mayotte Guadeloupe Macau
    Réunion Tokelau Aruba Anguilla Montserrat Niue Europe Africa Asia Virgin Islands"""
)
_MORE = re.compile(r"[^|\n]+").findall(
    """Antigua and Barbuda|American Samoa|Bosnia and Herzegovina|British Virgin Islands|Burkina Faso|Cabo Verde
Cape Verde|Cayman Islands|Central African Republic|Cook Islands|Costa Rica|Côte d'Ivoire|Ivory Coast
Czech Republic|Dominican Republic|East Timor|El Salvador|Equatorial Guinea|Faroe Islands|French Guiana
French Polynesia|Great Britain|Hong Kong|Marshall Islands|New Caledonia|New Zealand|North Korea
North Macedonia|Northern Ireland|Papua New Guinea|Puerto Rico|Saint Lucia|San Marino|Saudi Arabia
Sierra Leone|Solomon Islands|South Africa|South America|North America|South Korea|South Sudan|Sri Lanka
Trinidad and Tobago|United Arab Emirates|United Kingdom|United States of America|United States|Vatican City"""
)
_COUNTRIES = frozenset(_ONE_WORD)
_LONG_NAMES = re.compile("|".join(map(re.escape, _MORE)))
_WORD = re.compile(r"[^\W\d_]{4,}")


def countries(text: str) -> Iterator[Hit]:
    """Countries, territories and continents by name."""
    for match in _WORD.finditer(text):
        if match.group() in _COUNTRIES:
            yield match.start(), match.end(), "location", 0.6
    for match in _LONG_NAMES.finditer(text):
        yield match.start(), match.end(), "location", 0.6
