package hub;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.parquet.crypto.FileEncryptionProperties;
import org.apache.parquet.crypto.keytools.PropertiesDrivenCryptoFactory;
import org.apache.parquet.hadoop.api.WriteSupport.WriteContext;

/**
 * Encrypts every Parquet file that Spark writes, except the checkpoints of Delta logs. A checkpoint repeats what the
 * log's JSON files say in clear: paths, partitions, numbers of rows. Who commits without a key must be able to read it.
 */
public final class LogInClear extends PropertiesDrivenCryptoFactory {
  @Override
  public FileEncryptionProperties getFileEncryptionProperties(Configuration conf, Path file, WriteContext context) {
    return belongsToLog(file) ? null : super.getFileEncryptionProperties(conf, file, context);
  }

  private static boolean belongsToLog(Path file) {
    for (Path at = file; at != null; at = at.getParent()) {
      if (at.getName().equals("_delta_log")) {
        return true;
      }
    }
    return false;
  }
}
