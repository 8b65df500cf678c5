package hub;

import java.nio.charset.StandardCharsets;
import org.apache.spark.sql.connect.service.SparkConnectServer;

/**
 * Main class of the Spark server: Spark Connect with the token of its file. The token is in this process's memory only:
 * a command line, an environment or a configuration file shows it to whoever lists processes or reads a folder.
 */
public final class Server {
  private Server() {}

  public static void main(String[] arguments) {
    String token = new String(Keys.file("HUB_WORKER_KEYS", "spark.token"), StandardCharsets.US_ASCII).strip();
    if (token.length() < 32) {
      throw new IllegalStateException("HUB_KEY_INVALID: spark.token does not hold a token");
    }
    System.setProperty("spark.connect.authenticate.token", token);
    SparkConnectServer.main(arguments);
  }
}
