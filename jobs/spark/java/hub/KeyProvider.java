package hub;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Base64;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import javax.crypto.Cipher;
import org.apache.hadoop.conf.Configuration;
import org.apache.parquet.crypto.KeyAccessDeniedException;
import org.apache.parquet.crypto.keytools.KeyToolkit;
import org.apache.parquet.crypto.keytools.KmsClient;

/**
 * Keys of encrypted Parquet files (Parquet modular encryption), by key id:
 * "lake" a local AES key; "landing" RSA, written by workers, opened here; "quarantine" RSA, sealed here, opened by
 * stewards only.
 */
public final class KeyProvider implements KmsClient {
  private static final int MOST_OPENED = 4096;
  /** Data keys of landed files by their wrapped form, the latest used ones. */
  private static final Map<String, byte[]> OPENED = Collections.synchronizedMap(new LinkedHashMap<>(64, 0.75f, true) {
    private static final long serialVersionUID = 1L;

    @Override
    protected boolean removeEldestEntry(Map.Entry<String, byte[]> eldest) {
      return size() > MOST_OPENED;
    }
  });
  private static final Set<String> SEALED = Set.of("landing", "quarantine");

  @Override
  public void initialize(Configuration configuration, String instanceId, String instanceUrl, String accessToken) {}

  @Override
  public String wrapKey(byte[] keyBytes, String masterKeyId) {
    if ("lake".equals(masterKeyId)) {
      return KeyToolkit.encryptKeyLocally(
          keyBytes, Keys.secret("lake"), masterKeyId.getBytes(StandardCharsets.UTF_8));
    }
    if (!SEALED.contains(masterKeyId)) {
      throw new KeyAccessDeniedException("HUB_KEY_UNKNOWN: no such key id");
    }
    try {
      Cipher cipher = Cipher.getInstance(Keys.OAEP_NAME);
      cipher.init(Cipher.ENCRYPT_MODE, Keys.publicKey(masterKeyId), Keys.OAEP);
      return Base64.getEncoder().encodeToString(cipher.doFinal(keyBytes));
    } catch (GeneralSecurityException e) {
      throw new KeyAccessDeniedException("HUB_KEY_INVALID: cannot seal with key " + masterKeyId);
    }
  }

  @Override
  public byte[] unwrapKey(String wrappedKey, String masterKeyId) {
    if ("lake".equals(masterKeyId)) {
      try {
        return KeyToolkit.decryptKeyLocally(
            wrappedKey, Keys.secret("lake"), masterKeyId.getBytes(StandardCharsets.UTF_8));
      } catch (RuntimeException e) {
        throw new KeyAccessDeniedException("HUB_KEY_WRONG: the lake was written with another key");
      }
    }
    if (!"landing".equals(masterKeyId)) {
      throw new KeyAccessDeniedException("HUB_KEY_UNKNOWN: the Spark server holds no private key of this id");
    }
    // one file is opened many times: by every task, for its footer and its columns; RSA is slow
    return OPENED.computeIfAbsent(wrappedKey, wrapped -> open(wrapped, masterKeyId));
  }

  private static byte[] open(String wrappedKey, String masterKeyId) {
    try {
      Cipher cipher = Cipher.getInstance(Keys.OAEP_NAME);
      cipher.init(Cipher.DECRYPT_MODE, Keys.privateKey(masterKeyId), Keys.OAEP);
      return cipher.doFinal(Base64.getDecoder().decode(wrappedKey));
    } catch (GeneralSecurityException e) {
      throw new KeyAccessDeniedException("HUB_KEY_WRONG: the landing was sealed to another key");
    }
  }
}
