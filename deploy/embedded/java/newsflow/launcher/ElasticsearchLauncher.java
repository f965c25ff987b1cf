package newsflow.launcher;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * Starts one Elasticsearch node from the class path and closes it when the process is told to end.
 *
 * The working folder is the node's own: config/elasticsearch.yml and config/log4j2.properties are read there, data/
 * and logs/ are written there. The argument is the folder of the modules, which nodes share.
 */
public final class ElasticsearchLauncher {
    /** Below the limit after which the supervisor kills: a closed node has nothing to recover at its next start. */
    private static final int CLOSE_SECONDS = 15;

    private ElasticsearchLauncher() {}

    public static void main(String[] args) throws Exception {
        Path home = Path.of("").toAbsolutePath();
        Path modules = Path.of(args[0]);
        Path config = home.resolve("config");
        Settings settings = Settings.builder()
            .loadFromPath(config.resolve("elasticsearch.yml"))
            .put("path.home", home.toString())
            .build();
        Environment environment = new Environment(settings, config);
        LogConfigurator.configureESLogging();
        LogConfigurator.setNodeName(settings.get("node.name"));
        LogConfigurator.configure(environment, true);
        PluginsLoader plugins = PluginsLoader.createPluginsLoader(
            PluginsLoader.loadModulesBundles(modules, false), Set.of(), Map.of(), false);
        Node node = new Node(environment, plugins);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> close(node), "close-node"));
        node.start();
        Thread.currentThread().join();
    }

    private static void close(Node node) {
        try {
            node.close();
            node.awaitClose(CLOSE_SECONDS, TimeUnit.SECONDS);
        } catch (IOException e) {
            e.printStackTrace();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
