package hub;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.apache.spark.sql.api.java.UDF2;

/**
 * Stage-2 pseudonym: hub_pseudonym(domain, value) = HMAC-SHA-256(K2, "hub/p2/v1" 0x00 domain 0x00 value), 32 bytes.
 * The key is read from its file on the executor, once a thread: it is in no plan, configuration or log.
 */
public final class Pseudonym implements UDF2<String, String, byte[]> {
  private static final long serialVersionUID = 1L;
  private static final ThreadLocal<Mac> MAC = ThreadLocal.withInitial(Pseudonym::mac);

  private static Mac mac() {
    try {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(Keys.secret("p2"), "HmacSHA256"));
      return mac;
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("HUB_KEY_INVALID: key p2 cannot be used");
    }
  }

  @Override
  public byte[] call(String domain, String value) {
    if (value == null) {
      return null;
    }
    Mac mac = MAC.get();
    mac.update(("hub/p2/v1\0" + domain + "\0").getBytes(StandardCharsets.UTF_8));
    return mac.doFinal(value.getBytes(StandardCharsets.UTF_8));
  }

  /** Check value of a key that this server uses (p2, lake, landing), 16 hexadecimal characters. */
  public static final class Check implements UDF2<String, String, String> {
    private static final long serialVersionUID = 1L;

    @Override
    public String call(String name, String nonce) throws GeneralSecurityException {
      return HexFormat.of().formatHex(Keys.check(name));
    }
  }
}
