package hub;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.interfaces.RSAPrivateCrtKey;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.RSAPublicKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.Base64;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import javax.crypto.Mac;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;
import javax.crypto.spec.SecretKeySpec;

/**
 * Reads key files on the Spark server. The environment names directories only: HUB_KEYS (the hub's own keys,
 * readable by this process alone), HUB_PUBLIC_KEYS and HUB_WORKER_KEYS (the token). Messages name a key, never its
 * content or its path.
 */
final class Keys {
  static final OAEPParameterSpec OAEP =
      new OAEPParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, PSource.PSpecified.DEFAULT);
  static final String OAEP_NAME = "RSA/ECB/OAEPPadding";

  private static final ConcurrentMap<String, byte[]> SECRETS = new ConcurrentHashMap<>();

  private Keys() {}

  static byte[] file(String variable, String name) {
    String folder = System.getenv(variable);
    if (folder == null) {
      throw new IllegalStateException("HUB_KEY_MISSING: " + variable + " is not set on the Spark server");
    }
    try {
      return Files.readAllBytes(Path.of(folder, name));
    } catch (IOException e) {
      throw new IllegalStateException("HUB_KEY_MISSING: key " + name + " cannot be read on the Spark server");
    }
  }

  /** A secret key, read once: what the check values tell is what is used. A new key file needs a new server. */
  static byte[] secret(String name) {
    return SECRETS.computeIfAbsent(name, Keys::read);
  }

  private static byte[] read(String name) {
    byte[] key = file("HUB_KEYS", name + ".key");
    if (key.length != 32) {
      throw new IllegalStateException("HUB_KEY_INVALID: key " + name + " does not have 32 bytes");
    }
    return key;
  }

  private static byte[] pem(byte[] text) {
    String body = new String(text, StandardCharsets.US_ASCII)
        .replaceAll("-----[A-Z ]+-----", "").replaceAll("\\s", "");
    return Base64.getDecoder().decode(body);
  }

  static PrivateKey privateKey(String name) {
    try {
      return KeyFactory.getInstance("RSA")
          .generatePrivate(new PKCS8EncodedKeySpec(pem(file("HUB_KEYS", name + ".pem"))));
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("HUB_KEY_INVALID: key " + name + " is not an RSA private key");
    }
  }

  /** First 8 bytes that tell one key from another: HMAC of a constant, or SHA-256 of the public part of a pair. */
  static byte[] check(String name) throws GeneralSecurityException {
    if ("landing".equals(name)) {
      RSAPrivateCrtKey pair = (RSAPrivateCrtKey) privateKey(name);
      PublicKey open = KeyFactory.getInstance("RSA")
          .generatePublic(new RSAPublicKeySpec(pair.getModulus(), pair.getPublicExponent()));
      return Arrays.copyOf(MessageDigest.getInstance("SHA-256").digest(open.getEncoded()), 8);
    }
    Mac mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(secret(name), "HmacSHA256"));
    return Arrays.copyOf(mac.doFinal("hub/kcv/v1".getBytes(StandardCharsets.UTF_8)), 8);
  }

  static PublicKey publicKey(String name) {
    try {
      return KeyFactory.getInstance("RSA")
          .generatePublic(new X509EncodedKeySpec(pem(file("HUB_PUBLIC_KEYS", name + ".pub.pem"))));
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("HUB_KEY_INVALID: key " + name + " is not an RSA public key");
    }
  }
}
