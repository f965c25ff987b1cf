import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sends articles to Newsflow, JSON lines on standard input.
 *
 * <p>Stops at the first article that Kafka does not confirm, with the reason and exit status 1.
 */
class Producer {
    public static void main(String[] arguments) {
        Map<String, String> environment = System.getenv();
        String topic = environment.getOrDefault("ARTICLES_RAW_TOPIC", "articles-raw");
        int timeoutMs = Integer.parseInt(environment.getOrDefault("DELIVERY_TIMEOUT_MS", "60000"));
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", environment.get("KAFKA_BOOTSTRAP_SERVERS"),
                "acks", "all",
                "enable.idempotence", true,
                "max.block.ms", timeoutMs,
                "delivery.timeout.ms", timeoutMs,
                "request.timeout.ms", timeoutMs / 2,
                // Nothing to wait for: each article is sent alone.
                "linger.ms", 0);
        var json = new ObjectMapper();
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String key = null;
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                JsonNode article = json.readTree(line);
                key = article.path(article.hasNonNull("id") ? "id" : "url").textValue();
                producer.send(new ProducerRecord<>(topic, key, line)).get();
            }
        } catch (Exception error) {
            System.err.println("not confirmed: " + key + ": " + error.getMessage());
            System.exit(1);
        }
    }
}
