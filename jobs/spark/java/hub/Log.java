package hub;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.regex.Pattern;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.core.LogEvent;
import org.apache.logging.log4j.core.LoggerContext;
import org.apache.logging.log4j.core.appender.AbstractAppender;
import org.apache.logging.log4j.core.config.Configuration;
import org.apache.logging.log4j.core.config.LoggerConfig;
import org.apache.logging.log4j.core.config.Property;
import org.apache.spark.SparkThrowable;

/**
 * The server's log: when, how grave, who speaks, the classes of the errors with Spark's names for them, and where in the
 * code. Never a message: Spark quotes in its messages the value, the line or the sum that an expression failed on.
 */
final class Log extends AbstractAppender {
  private static final String NAME = "hub";

  /** What our own classes say of keys: words of this program, no data. */
  private static final Pattern OF_KEYS = Pattern.compile("HUB_KEY_[A-Z]+: [A-Za-z0-9 _.,-]+");

  private Log() {
    super(NAME, null, null, true, Property.EMPTY_ARRAY);
  }

  /** Takes the place of everything that would write a log: Spark's, Java's own, and that of a thread that dies. */
  static void install() {
    LoggerContext context = (LoggerContext) LogManager.getContext(false);
    takeOver(context);
    context.addPropertyChangeListener(changed -> takeOver(context)); // whoever configures anew configures this
    Logger javas = Logger.getLogger("");
    for (Handler handler : javas.getHandlers()) {
      javas.removeHandler(handler);
    }
    javas.addHandler(new OfJava());
    Thread.setDefaultUncaughtExceptionHandler((thread, error) -> write("FATAL", thread.getClass().getName(), error));
  }

  private static void takeOver(LoggerContext context) {
    Configuration configuration = context.getConfiguration();
    if (configuration.getRootLogger().getAppenders().containsKey(NAME)) {
      return;
    }
    Log log = new Log();
    log.start();
    Set<LoggerConfig> loggers = new HashSet<>(configuration.getLoggers().values());
    loggers.add(configuration.getRootLogger()); // the default configuration does not list it
    for (LoggerConfig logger : loggers) {
      List.copyOf(logger.getAppenders().keySet()).forEach(logger::removeAppender);
    }
    configuration.getRootLogger().addAppender(log, Level.ERROR, null);
    context.updateLoggers();
  }

  @Override
  public void append(LogEvent event) {
    write(event.getLevel().name(), event.getLoggerName(), event.getThrown());
  }

  private static void write(String level, String logger, Throwable error) {
    StringBuilder text = new StringBuilder();
    text.append(Instant.now().truncatedTo(ChronoUnit.MILLIS)).append(' ').append(level).append(' ').append(logger);
    int depth = 0;
    for (Throwable cause = error; cause != null && depth < 10; cause = cause.getCause(), depth++) {
      text.append(depth == 0 ? "\n" : "\nCaused by: ").append(cause.getClass().getName()).append(named(cause));
      for (StackTraceElement frame : cause.getStackTrace()) {
        text.append("\n\tat ").append(frame);
      }
    }
    System.err.println(text);
  }

  private static String named(Throwable error) {
    if (error instanceof SparkThrowable spark && spark.getCondition() != null) {
      return " [" + spark.getCondition() + "]";
    }
    String message = error.getMessage();
    return message != null && OF_KEYS.matcher(message).matches() ? ": " + message : "";
  }

  /** What libraries say through Java's own logging. */
  private static final class OfJava extends Handler {
    @Override
    public void publish(LogRecord event) {
      if (event.getLevel().intValue() >= java.util.logging.Level.SEVERE.intValue()) {
        write("ERROR", event.getLoggerName(), event.getThrown());
      }
    }

    @Override
    public void flush() {}

    @Override
    public void close() {}
  }
}
