package newsflow.plugin;

import java.io.Reader;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;
import org.apache.lucene.analysis.CharArraySet;
import org.apache.lucene.analysis.LowerCaseFilter;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.charfilter.HTMLStripCharFilter;
import org.apache.lucene.analysis.core.KeywordTokenizer;
import org.apache.lucene.analysis.core.WhitespaceTokenizer;
import org.apache.lucene.analysis.el.GreekLowerCaseFilter;
import org.apache.lucene.analysis.fr.FrenchAnalyzer;
import org.apache.lucene.analysis.ga.IrishLowerCaseFilter;
import org.apache.lucene.analysis.miscellaneous.ASCIIFoldingFilter;
import org.apache.lucene.analysis.miscellaneous.SetKeywordMarkerFilter;
import org.apache.lucene.analysis.miscellaneous.TrimFilter;
import org.apache.lucene.analysis.tr.TurkishLowerCaseFilter;
import org.apache.lucene.analysis.util.ElisionFilter;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.index.analysis.Analysis;
import org.elasticsearch.index.analysis.CharFilterFactory;
import org.elasticsearch.index.analysis.NormalizingCharFilterFactory;
import org.elasticsearch.index.analysis.NormalizingTokenFilterFactory;
import org.elasticsearch.index.analysis.TokenFilterFactory;
import org.elasticsearch.index.analysis.TokenizerFactory;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;

/** The parts of custom analyzers and normalizers. `standard`, `stop` and `shingle` are in the server's own jar. */
final class Filters {
    private Filters() {}

    private interface FromSettings {
        UnaryOperator<TokenStream> make(Environment environment, Settings settings);
    }

    private record TokenFilter(String name, UnaryOperator<TokenStream> filter) implements TokenFilterFactory {
        @Override
        public TokenStream create(TokenStream input) {
            return filter.apply(input);
        }
    }

    /** One that changes characters only, so that a normalizer may use it too. */
    private record NormalizingFilter(String name, UnaryOperator<TokenStream> filter)
        implements NormalizingTokenFilterFactory {
        @Override
        public TokenStream create(TokenStream input) {
            return filter.apply(input);
        }
    }

    private record HtmlStrip(String name, Set<String> keptTags) implements NormalizingCharFilterFactory {
        @Override
        public Reader create(Reader reader) {
            return new HTMLStripCharFilter(reader, keptTags);
        }
    }

    static Map<String, AnalysisProvider<TokenFilterFactory>> tokenFilters() {
        return Map.of(
            "lowercase", normalizing(Filters::lowercase),
            "asciifolding", normalizing(Filters::asciiFolding),
            "trim", normalizing((environment, settings) -> TrimFilter::new),
            "elision", normalizing(Filters::elision),
            "stemmer", plain(Filters::stemmer),
            "keyword_marker", plain(Filters::keywordMarker));
    }

    static Map<String, AnalysisProvider<CharFilterFactory>> charFilters() {
        return Map.of("html_strip", (index, environment, name, settings) ->
            new HtmlStrip(name, Set.copyOf(settings.getAsList("escaped_tags"))));
    }

    static Map<String, AnalysisProvider<TokenizerFactory>> tokenizers() {
        return Map.of(
            "keyword", (index, environment, name, settings) ->
                TokenizerFactory.newFactory(name, KeywordTokenizer::new),
            "whitespace", (index, environment, name, settings) ->
                TokenizerFactory.newFactory(name, WhitespaceTokenizer::new));
    }

    private static AnalysisProvider<TokenFilterFactory> plain(FromSettings filter) {
        return (index, environment, name, settings) ->
            new TokenFilter(name, filter.make(environment, settings));
    }

    private static AnalysisProvider<TokenFilterFactory> normalizing(FromSettings filter) {
        return (index, environment, name, settings) ->
            new NormalizingFilter(name, filter.make(environment, settings));
    }

    private static UnaryOperator<TokenStream> lowercase(Environment environment, Settings settings) {
        String language = settings.get("language", "");
        return switch (language) {
            case "" -> LowerCaseFilter::new;
            case "greek" -> GreekLowerCaseFilter::new;
            case "irish" -> IrishLowerCaseFilter::new;
            case "turkish" -> TurkishLowerCaseFilter::new;
            default -> throw new IllegalArgumentException("language [" + language + "] not support for lower case");
        };
    }

    private static UnaryOperator<TokenStream> asciiFolding(Environment environment, Settings settings) {
        boolean preserveOriginal = settings.getAsBoolean("preserve_original", false);
        return input -> new ASCIIFoldingFilter(input, preserveOriginal);
    }

    private static UnaryOperator<TokenStream> elision(Environment environment, Settings settings) {
        CharArraySet given = Analysis.parseArticles(environment, settings);
        CharArraySet articles = given == null ? FrenchAnalyzer.DEFAULT_ARTICLES : given;
        return input -> new ElisionFilter(input, articles);
    }

    private static UnaryOperator<TokenStream> stemmer(Environment environment, Settings settings) {
        return Stemmers.of(settings.get("language", settings.get("name", "english")));
    }

    private static UnaryOperator<TokenStream> keywordMarker(Environment environment, Settings settings) {
        CharArraySet keywords = Analysis.getWordSet(environment, settings, "keywords");
        return input -> keywords == null ? input : new SetKeywordMarkerFilter(input, keywords);
    }
}
