package hub;

import java.security.GeneralSecurityException;
import java.util.HexFormat;
import org.apache.spark.sql.api.java.UDF2;

/** Check value of a key that this server uses (p2, lake, landing), 16 hexadecimal characters. */
public final class KeyCheck implements UDF2<String, String, String> {
  private static final long serialVersionUID = 1L;

  @Override
  public String call(String name, String nonce) throws GeneralSecurityException {
    return HexFormat.of().formatHex(Keys.check(name));
  }
}
