package newsflow.plugin;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.CharArraySet;
import org.apache.lucene.analysis.th.ThaiTokenizer;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.index.analysis.Analysis;
import org.elasticsearch.index.analysis.AnalyzerProvider;
import org.elasticsearch.index.analysis.AnalyzerScope;
import org.elasticsearch.index.analysis.PreBuiltAnalyzerProviderFactory;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;
import org.elasticsearch.indices.analysis.PreBuiltCacheFactory.CachingStrategy;

/** Lucene's analyzer of each language, under the name that Elasticsearch gives it. */
final class LanguageAnalyzers {
    /** Elasticsearch's name → the last part of Lucene's package. The class is the name, capitalised, + "Analyzer". */
    private static final Map<String, String> PACKAGES = Map.ofEntries(
        Map.entry("arabic", "ar"), Map.entry("armenian", "hy"), Map.entry("basque", "eu"),
        Map.entry("bengali", "bn"), Map.entry("brazilian", "br"), Map.entry("bulgarian", "bg"),
        Map.entry("catalan", "ca"), Map.entry("cjk", "cjk"), Map.entry("czech", "cz"),
        Map.entry("danish", "da"), Map.entry("dutch", "nl"), Map.entry("english", "en"),
        Map.entry("estonian", "et"), Map.entry("finnish", "fi"), Map.entry("french", "fr"),
        Map.entry("galician", "gl"), Map.entry("german", "de"), Map.entry("greek", "el"),
        Map.entry("hindi", "hi"), Map.entry("hungarian", "hu"), Map.entry("indonesian", "id"),
        Map.entry("irish", "ga"), Map.entry("italian", "it"), Map.entry("latvian", "lv"),
        Map.entry("lithuanian", "lt"), Map.entry("norwegian", "no"), Map.entry("persian", "fa"),
        Map.entry("portuguese", "pt"), Map.entry("romanian", "ro"), Map.entry("russian", "ru"),
        Map.entry("serbian", "sr"), Map.entry("sorani", "ckb"), Map.entry("spanish", "es"),
        Map.entry("swedish", "sv"), Map.entry("thai", "th"), Map.entry("turkish", "tr"));

    private LanguageAnalyzers() {}

    private record Provider(String name, Analyzer get) implements AnalyzerProvider<Analyzer> {
        @Override
        public AnalyzerScope scope() {
            return AnalyzerScope.INDEX;
        }
    }

    /** Elasticsearch builds all of them for every index, and Thai throws where Java has no Thai word breaks. */
    private static List<String> languages() {
        return PACKAGES.keySet().stream()
            .filter(language -> !language.equals("thai") || ThaiTokenizer.DBBI_AVAILABLE)
            .toList();
    }

    /** By type, for indices that set `stopwords` or `stem_exclusion`. */
    static Map<String, AnalysisProvider<AnalyzerProvider<? extends Analyzer>>> providers() {
        var providers = new HashMap<String, AnalysisProvider<AnalyzerProvider<? extends Analyzer>>>();
        for (String language : languages()) {
            providers.put(language, (index, environment, name, settings) ->
                new Provider(name, analyzer(language, environment, settings)));
        }
        return providers;
    }

    /** By name, for mappings that say `"analyzer": "english"`. */
    static List<PreBuiltAnalyzerProviderFactory> preBuilt() {
        return languages().stream()
            .map(language -> new PreBuiltAnalyzerProviderFactory(
                language, CachingStrategy.ONE, () -> analyzer(language, null, Settings.EMPTY)))
            .toList();
    }

    private static Analyzer analyzer(String language, Environment environment, Settings settings) {
        String simpleName = language.equals("cjk")
            ? "CJK"
            : Character.toUpperCase(language.charAt(0)) + language.substring(1);
        String name = "org.apache.lucene.analysis." + PACKAGES.get(language) + "." + simpleName + "Analyzer";
        try {
            Class<?> type = Class.forName(name);
            CharArraySet stopWords = (CharArraySet) type.getMethod("getDefaultStopSet").invoke(null);
            if (environment != null) {
                stopWords = Analysis.parseStopWords(environment, settings, stopWords);
            }
            try {
                CharArraySet notStemmed = Analysis.parseStemExclusion(settings, CharArraySet.EMPTY_SET);
                return (Analyzer) type.getConstructor(CharArraySet.class, CharArraySet.class)
                    .newInstance(stopWords, notStemmed);
            } catch (NoSuchMethodException e) { // cjk, greek, persian and thai do not stem
                return (Analyzer) type.getConstructor(CharArraySet.class).newInstance(stopWords);
            }
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("no analyzer " + name, e);
        }
    }
}
