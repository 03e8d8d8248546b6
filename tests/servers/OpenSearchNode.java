import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.codelibs.opensearch.runner.OpenSearchRunner;
import org.opensearch.http.HttpServerTransport;

/**
 * One OpenSearch node on loopback for the tests: {@code OpenSearchNode FOLDER HTTP_PORT}. Port 0 takes a
 * free one. When the node serves, its address stands in {@code FOLDER/http.address}.
 */
public final class OpenSearchNode {
    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]).toAbsolutePath();
        String port = arguments[1];
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.onBuild((number, settings) -> {
            settings.put("network.host", "127.0.0.1");
            settings.put("http.port", port);
            settings.put("transport.port", "0");
            // Without the ingest role a bulk request that names a pipeline is an error of the server.
            settings.putList("node.roles", "cluster_manager", "data", "ingest");
            settings.put("discovery.type", "single-node");
            // A full disk on the machine would make every index read-only.
            settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
        });
        runner.build(OpenSearchRunner.newConfigs().basePath(folder.toString())
                .clusterName("beaconwatch-tests").numOfNode(1).useLogger());
        HttpServerTransport http = runner.node().injector().getInstance(HttpServerTransport.class);
        Path partial = folder.resolve("http.address.partial");
        Files.writeString(partial, http.boundAddress().publishAddress().toString());
        Files.move(partial, folder.resolve("http.address"), StandardCopyOption.ATOMIC_MOVE);
        Thread.currentThread().join();
    }
}
