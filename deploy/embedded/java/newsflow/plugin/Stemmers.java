package newsflow.plugin;

import java.util.Locale;
import java.util.function.UnaryOperator;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.ar.ArabicStemFilter;
import org.apache.lucene.analysis.de.GermanLightStemFilter;
import org.apache.lucene.analysis.de.GermanMinimalStemFilter;
import org.apache.lucene.analysis.en.EnglishMinimalStemFilter;
import org.apache.lucene.analysis.en.EnglishPossessiveFilter;
import org.apache.lucene.analysis.en.KStemFilter;
import org.apache.lucene.analysis.en.PorterStemFilter;
import org.apache.lucene.analysis.es.SpanishLightStemFilter;
import org.apache.lucene.analysis.fi.FinnishLightStemFilter;
import org.apache.lucene.analysis.fr.FrenchLightStemFilter;
import org.apache.lucene.analysis.fr.FrenchMinimalStemFilter;
import org.apache.lucene.analysis.it.ItalianLightStemFilter;
import org.apache.lucene.analysis.pt.PortugueseLightStemFilter;
import org.apache.lucene.analysis.ru.RussianLightStemFilter;
import org.apache.lucene.analysis.snowball.SnowballFilter;
import org.apache.lucene.analysis.sv.SwedishLightStemFilter;

/** The `language` of the token filter `stemmer` → Lucene's filter. */
final class Stemmers {
    private Stemmers() {}

    static UnaryOperator<TokenStream> of(String language) {
        return switch (language.toLowerCase(Locale.ROOT)) {
            case "english", "porter" -> PorterStemFilter::new;
            case "light_english", "kstem" -> KStemFilter::new;
            case "minimal_english" -> EnglishMinimalStemFilter::new;
            case "possessive_english" -> EnglishPossessiveFilter::new;
            case "porter2" -> input -> new SnowballFilter(input, "English");
            case "light_german" -> GermanLightStemFilter::new;
            case "minimal_german" -> GermanMinimalStemFilter::new;
            case "light_french" -> FrenchLightStemFilter::new;
            case "minimal_french" -> FrenchMinimalStemFilter::new;
            case "light_spanish" -> SpanishLightStemFilter::new;
            case "light_italian" -> ItalianLightStemFilter::new;
            case "light_portuguese" -> PortugueseLightStemFilter::new;
            case "light_russian" -> RussianLightStemFilter::new;
            case "light_swedish" -> SwedishLightStemFilter::new;
            case "light_finnish" -> FinnishLightStemFilter::new;
            case "arabic" -> ArabicStemFilter::new;
            case "catalan", "danish", "dutch", "finnish", "french", "german", "hungarian", "italian", "norwegian",
                "portuguese", "romanian", "russian", "spanish", "swedish", "turkish" -> snowball(language);
            default -> throw new IllegalArgumentException(
                "the embedded server has no stemmer for [" + language + "]; see Stemmers.java for those it has");
        };
    }

    private static UnaryOperator<TokenStream> snowball(String language) {
        String name = language.substring(0, 1).toUpperCase(Locale.ROOT) + language.substring(1).toLowerCase(Locale.ROOT);
        return input -> new SnowballFilter(input, name);
    }
}
