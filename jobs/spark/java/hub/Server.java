package hub;

import java.nio.charset.StandardCharsets;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.connect.service.SparkConnectService$;

/**
 * Main class of the Spark server: Spark Connect with the token of its file. The token is in this process's memory only:
 * a command line, an environment or a configuration file shows it to whoever lists processes or reads a folder. Its log
 * is {@link Log}, which holds no data.
 *
 * <p>Spark's own main class gives every session a class loader of its own, for classes that clients may bring. Generated
 * code is then compiled again for every session, and a server never gets warm. The hub's clients bring no classes.
 */
public final class Server {
  private Server() {}

  public static void main(String[] arguments) throws InterruptedException {
    Log.install();
    String token = new String(Keys.file("HUB_WORKER_KEYS", "spark.token"), StandardCharsets.US_ASCII).strip();
    if (token.length() < 32) {
      throw new IllegalStateException("HUB_KEY_INVALID: spark.token does not hold a token");
    }
    System.setProperty("spark.connect.authenticate.token", token);
    SparkSession session = SparkSession.builder()
        .config("spark.sql.artifact.isolation.enabled", false)
        .config("spark.sql.artifact.isolation.alwaysApplyClassloader", false)
        .getOrCreate();
    SparkConnectService$.MODULE$.start(session.sparkContext());
    SparkConnectService$.MODULE$.server().awaitTermination();
  }
}
