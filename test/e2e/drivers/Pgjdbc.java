// pgjdbc, doing what programs do with it. One file, so that the JDK's own compiler is all it needs.
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.PGStatement;
import org.postgresql.copy.CopyIn;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

class Pgjdbc {
  interface Say { void say(Object... what); }
  interface Habit { void live(Say say) throws Exception; }
  interface Work { void with(Connection c, Say say) throws Exception; }
  interface Risk { Object take() throws Exception; }

  static final Map<String, Habit> habits = new LinkedHashMap<>();

  static Connection connect(String... settings) throws SQLException {
    Properties all = new Properties();
    all.setProperty("user", System.getenv("PGUSER"));
    all.setProperty("password", System.getenv("PGPASSWORD"));
    all.setProperty("currentSchema", "habits");
    for (int at = 0; at < settings.length; at += 2) all.setProperty(settings[at], settings[at + 1]);
    String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/";
    return DriverManager.getConnection(url + System.getenv("PGDATABASE"), all);
  }

  static void habit(String name, Work work, String... settings) {
    habits.put(name, say -> {
      try (Connection c = connect(settings)) { work.with(c, say); }
    });
  }

  static Object failure(Risk risk) {
    try {
      return List.of("no error", String.valueOf(risk.take()));
    } catch (BatchUpdateException error) {
      return Arrays.asList(error.getSQLState(), Arrays.toString(error.getUpdateCounts()), failure(() -> { throw error.getNextException(); }));
    } catch (PSQLException error) {
      ServerErrorMessage m = error.getServerErrorMessage();
      if (m == null) return Arrays.asList(error.getSQLState(), error.getMessage());
      return Arrays.asList(m.getSeverity(), m.getSQLState(), m.getMessage(), m.getDetail(), m.getHint(), m.getPosition(), m.getWhere(),
          m.getSchema(), m.getTable(), m.getColumn(), m.getDatatype(), m.getConstraint(), m.getInternalPosition());
    } catch (Exception error) {
      return error.getClass().getName();
    }
  }

  static List<List<String>> rows(ResultSet found) throws SQLException {
    List<List<String>> all = new ArrayList<>();
    int columns = found.getMetaData().getColumnCount();
    while (found.next()) {
      List<String> row = new ArrayList<>();
      for (int column = 1; column <= columns; column += 1)
        row.add(found.getObject(column) instanceof byte[] bytes ? java.util.HexFormat.of().formatHex(bytes) : found.getString(column));
      all.add(row);
    }
    return all;
  }

  static List<List<String>> rows(Connection c, String text, Object... values) throws SQLException {
    try (var statement = c.prepareStatement(text)) {
      for (int at = 0; at < values.length; at += 1) statement.setObject(at + 1, values[at]);
      return statement.execute() ? rows(statement.getResultSet()) : List.of(List.of("" + statement.getUpdateCount()));
    }
  }

  static Object failing(Connection c, String text, Object... values) {
    return failure(() -> rows(c, text, values));
  }

  static List<Object> results(Connection c, String text) throws SQLException {
    List<Object> all = new ArrayList<>();
    try (Statement statement = c.createStatement()) {
      boolean isRows = statement.execute(text);
      while (isRows || statement.getUpdateCount() != -1) {
        all.add(isRows ? rows(statement.getResultSet()) : statement.getUpdateCount());
        isRows = statement.getMoreResults();
      }
    }
    return all;
  }

  static void later(long ms, Risk risk) {
    Thread thread = new Thread(() -> {
      try { Thread.sleep(ms); risk.take(); } catch (Exception error) { throw new RuntimeException(error); }
    });
    thread.setDaemon(true);
    thread.start();
  }

  static void define() {
    habit("prepare", (c, say) -> {
      for (String text : List.of("drop schema if exists habits cascade", "create schema habits", "create type mood as enum ('happy', 'sad')",
          "create table items (id int primary key, name text unique, amount int check (amount > 0))",
          "insert into items select g, 'n' || g, g from generate_series(1, 500) g")) say.say(results(c, text));
    });
    for (String mode : List.of("extended", "simple", "extendedForPrepared", "extendedCacheEverything")) {
      habit("types " + mode, (c, say) -> {
        // After five uses a statement gets a name, and its results come in binary.
        try (var statement = c.prepareStatement("select ?::int4, ?::int8, ?::numeric, ?::float8, ?::text, ?::bytea, ?::timestamptz, ?::jsonb, ?::int4[], ?::bool, ?::mood, ?::uuid, ?::int2")) {
          for (int round = 0; round < 8; round += 1) {
            statement.setInt(1, round);
            statement.setLong(2, Long.MAX_VALUE);
            statement.setBigDecimal(3, new java.math.BigDecimal("12345.6789000"));
            statement.setDouble(4, 1.5);
            statement.setString(5, "text ☃ '\\");
            statement.setBytes(6, new byte[] {0, 1, -2, -1});
            statement.setObject(7, OffsetDateTime.parse("2026-01-01T12:00:00Z"));
            statement.setString(8, "{\"a\": [1, null]}");
            statement.setArray(9, c.createArrayOf("int4", new Object[] {1, null, 3}));
            statement.setBoolean(10, true);
            statement.setString(11, "sad");
            statement.setObject(12, new java.util.UUID(0, 1));
            statement.setNull(13, Types.SMALLINT);
            say.say(rows(statement.executeQuery()));
          }
        }
      }, "preferQueryMode", mode);
    }
    habit("prepared", (c, say) -> {
      try (var statement = c.prepareStatement("select name from items where id = ?")) {
        statement.unwrap(PGStatement.class).setPrepareThreshold(1);
        for (int round = 1; round < 4; round += 1) {
          statement.setInt(1, round);
          say.say(rows(statement.executeQuery()));
        }
        results(c, "deallocate all");
        say.say(failure(() -> rows(statement.executeQuery())));
        say.say(failure(() -> rows(statement.executeQuery())));
        say.say(statement.getParameterMetaData().getParameterTypeName(1), statement.getMetaData().getColumnTypeName(1));
      }
      say.say(rows(c, "select data_type from information_schema.columns where table_schema = 'habits' order by 1"));
    });
    habit("batches", (c, say) -> {
      try (var statement = c.prepareStatement("insert into items values (?, ?, 1)")) {
        for (int number = 1000; number < 1700; number += 1) {
          statement.setInt(1, number);
          statement.setString(2, "batch " + number);
          statement.addBatch();
        }
        say.say(Arrays.stream(statement.executeBatch()).sum());
        for (int number : new int[] {2000, 1, 2001}) {
          statement.setInt(1, number);
          statement.setString(2, "wrong " + number);
          statement.addBatch();
        }
        say.say(failure(statement::executeBatch));
      }
      try (Statement statement = c.createStatement()) {
        for (String text : List.of("delete from items where id >= 1000", "update items set amount = 1 / 0", "select 1")) statement.addBatch(text);
        say.say(failure(statement::executeBatch));
      }
      say.say(rows(c, "select count(*) from items"), rows(c, "delete from items where id >= 1000"));
    });
    habit("batches rewritten", (c, say) -> {
      try (var statement = c.prepareStatement("insert into items values (?, ?, 1)", Statement.RETURN_GENERATED_KEYS)) {
        for (int number = 1000; number < 1300; number += 1) {
          statement.setInt(1, number);
          statement.setString(2, "batch " + number);
          statement.addBatch();
        }
        say.say(statement.executeBatch().length, rows(statement.getGeneratedKeys()).size());
      }
      say.say(rows(c, "delete from items where id >= 1000"));
    }, "reWriteBatchedInserts", "true");
    habit("portals", (c, say) -> {
      c.setAutoCommit(false);
      try (var statement = c.prepareStatement("select id, name from items where id > ? order by id")) {
        statement.setFetchSize(33);
        for (int round = 0; round < 3; round += 1) {
          statement.setInt(1, 10);
          say.say(rows(statement.executeQuery()).size());
        }
        try (ResultSet found = statement.executeQuery()) {
          Savepoint inside = c.setSavepoint();
          for (int row = 0; row < 40; row += 1) found.next();
          say.say(failing(c, "select 1 / 0"));
          c.rollback(inside);
          for (int row = 0; row < 40; row += 1) found.next();
          say.say(found.getInt(1));
        }
        statement.setMaxRows(5);
        say.say(rows(statement.executeQuery()).size());
      }
      try (var statement = c.prepareStatement("select 10 / (5 - g) from generate_series(1, 10) g")) {
        statement.setFetchSize(2);
        say.say(failure(() -> rows(statement.executeQuery())));
      }
      c.rollback();
      try (Statement statement = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
          ResultSet found = statement.executeQuery("select id, amount from items where id < 5 order by id")) {
        found.absolute(3);
        found.updateInt("amount", 33);
        found.updateRow();
        say.say(found.getInt("amount"));
      }
      c.commit();
    });
    habit("cursors", (c, say) -> {
      c.setAutoCommit(false);
      results(c, "create function opened() returns refcursor language plpgsql as $$ declare c refcursor; begin open c for select id from items order by id limit 3; return c; end $$");
      try (var call = c.prepareCall("{? = call opened()}")) {
        call.registerOutParameter(1, Types.REF_CURSOR);
        call.execute();
        say.say(rows((ResultSet) call.getObject(1)));
      }
      results(c, "declare d scroll cursor for select id from items order by id");
      say.say(rows(c, "fetch 2 from d"), rows(c, "move 3 in d"), rows(c, "fetch backward 1 from d"));
      c.rollback();
    });
    habit("copy", (c, say) -> {
      results(c, "create table copied (a int, b text)");
      CopyManager copies = c.unwrap(PGConnection.class).getCopyAPI();
      StringBuilder lines = new StringBuilder();
      for (int number = 0; number < 5000; number += 1) lines.append(number).append("\tline ").append(number).append('\n');
      say.say(copies.copyIn("copy copied from stdin", new StringReader(lines.toString())));
      say.say(copies.copyIn("copy copied from stdin csv", new StringReader("1,\"a, b\"\n2,\n")));
      ByteArrayOutputStream binary = new ByteArrayOutputStream();
      say.say(copies.copyOut("copy copied to stdout (format binary)", binary), Arrays.hashCode(binary.toByteArray()));
      say.say(copies.copyIn("copy copied from stdin (format binary)", new ByteArrayInputStream(binary.toByteArray())));
      StringWriter text = new StringWriter();
      copies.copyOut("copy (select * from copied order by a limit 3) to stdout csv header", text);
      say.say(text.toString());
      say.say(failure(() -> copies.copyIn("copy copied from stdin", new StringReader("bad\tx\n" + lines))));
      say.say(failure(() -> copies.copyIn("copy nowhere from stdin", new StringReader(""))));
      CopyIn given = copies.copyIn("copy copied from stdin");
      given.writeToCopy("1\tnever\n".getBytes(StandardCharsets.UTF_8), 0, 8);
      given.cancelCopy();
      say.say(given.isActive(), rows(c, "select count(*) from copied"));
    });
    for (String autosave : List.of("never", "always", "conservative")) {
      habit("transactions " + autosave, (c, say) -> {
        c.setAutoCommit(false);
        c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        say.say(rows(c, "delete from items where id > 100"), rows(c, "show transaction_isolation"));
        Savepoint inside = c.setSavepoint("inside");
        say.say(failing(c, "select 1 / 0"), failing(c, "select 1"));
        c.rollback(inside);
        c.releaseSavepoint(inside);
        say.say(rows(c, "select count(*) from items"));
        c.rollback();
        c.setReadOnly(true);
        say.say(failing(c, "delete from items"), failure(() -> { c.commit(); return "committed"; }));
      }, "autosave", autosave);
    }
    habit("notices", (c, say) -> {
      try (Statement statement = c.createStatement()) {
        statement.execute("do $$ begin raise notice 'one %', 1; raise warning 'two' using detail = 'd', hint = 'h'; end $$");
        for (SQLWarning each = statement.getWarnings(); each != null; each = each.getNextWarning()) say.say(each.getSQLState(), each.getMessage());
      }
    });
    habit("listen", (c, say) -> {
      results(c, "listen news");
      try (Connection other = connect()) {
        results(other, "notify news, 'one'; select pg_notify('news', repeat('x', 7000))");
      }
      List<String> heard = new ArrayList<>();
      for (int wait = 0; heard.size() < 2 && wait < 100; wait += 1)
        for (var each : c.unwrap(PGConnection.class).getNotifications(100)) heard.add(each.getName() + each.getParameter());
      say.say(heard);
    });
    habit("large objects", (c, say) -> {
      c.setAutoCommit(false);
      LargeObjectManager objects = c.unwrap(PGConnection.class).getLargeObjectAPI();
      long oid = objects.createLO();
      try (LargeObject object = objects.open(oid, LargeObjectManager.READWRITE)) {
        byte[] bytes = new byte[3_000_000];
        Arrays.fill(bytes, (byte) 7);
        object.write(bytes);
        object.seek64(2_999_990, LargeObject.SEEK_SET);
        say.say(Arrays.toString(object.read(100)), object.tell64(), object.size64());
        object.truncate64(10);
        say.say(object.size());
      }
      objects.delete(oid);
      say.say(failure(() -> objects.open(oid)) instanceof List<?> error ? error.get(1) : null);
      c.rollback();
      say.say(rows(c, "select 1"));
    });
    habit("cancel", (c, say) -> {
      try (Statement statement = c.createStatement()) {
        for (int round = 0; round < 3; round += 1) {
          later(150, () -> { statement.cancel(); return ""; });
          say.say(failure(() -> statement.execute("select pg_sleep(60)")), rows(c, "select 1"));
        }
      }
    });
    habit("timeouts", (c, say) -> {
      try (Statement statement = c.createStatement()) {
        statement.setQueryTimeout(1);
        say.say(failure(() -> statement.execute("select pg_sleep(60)")));
      }
      results(c, "set statement_timeout = 100");
      say.say(failing(c, "select pg_sleep(60)"), rows(c, "select 1"));
    });
    habit("several statements", (c, say) -> {
      say.say(results(c, "select 1 as a; values (2), (3); ; select 'x' where false; set work_mem = '5MB'"));
      say.say(failure(() -> results(c, "create table multi (a int); insert into multi values (1); select 1 / 0; select 2")));
      say.say(rows(c, "select count(*) from pg_class where relname = 'multi'"), rows(c, "select ?; select ?::int + 1", 1, 2));
    });
    habit("large values", (c, say) -> {
      byte[] large = new byte[50_000_000];
      Arrays.fill(large, (byte) 103);
      say.say(rows(c, "select length(?), md5(?)", large, "small"));
      say.say(rows(c, "select repeat('x', 50000000)").get(0).get(0).length());
    });
    habit("many queries", (c, say) -> {
      int sum = 0;
      for (int number = 0; number < 500; number += 1) sum += Integer.parseInt(rows(c, "select ?::int", number).get(0).get(0));
      say.say(sum);
    });
    habits.put("options", say -> {
      String text = "select current_setting('application_name'), current_setting('search_path'), current_setting('work_mem'), current_setting('DateStyle')";
      for (String[] settings : new String[][] {{"ApplicationName", "habits", "options", "-c work_mem=7MB"}, {"sslmode", "prefer"}, {"gssEncMode", "prefer"}, {"assumeMinServerVersion", "9.0"}})
        try (Connection c = connect(settings)) { say.say(rows(c, text), c.getMetaData().getDatabaseProductVersion()); }
      say.say(failure(() -> connect("sslmode", "require")));
    });
    habit("errors", (c, say) -> {
      say.say(failing(c, "insert into items values (1, 'x', 1)"), failing(c, "insert into items values (1000, 'n2', 1)"));
      say.say(failing(c, "insert into items values (1001, 'y', -1)"), failing(c, "select 'ü', nowhere from items"));
      say.say(failing(c, "select ?::int", "x"), failing(c, "select 'sick'::mood"), failing(c, "select 'ü' fro items x y"));
      say.say(failing(c, "do $$ begin execute 'select 1 / 0'; end $$"));
      try (var call = c.prepareCall("{call nowhere(?)}")) { call.setInt(1, 1); say.say(failure(call::execute)); }
    });
    habit("empty", (c, say) -> {
      for (String text : List.of("", " ", ";", "-- nothing")) say.say(results(c, text), failing(c, text));
    });
    habit("changing settings", (c, say) -> {
      results(c, "set TimeZone = 'Asia/Tokyo'; set application_name = 'other'");
      var statuses = c.unwrap(PGConnection.class).getParameterStatuses();
      say.say(statuses.get("TimeZone"), statuses.get("application_name"), c.getClientInfo("ApplicationName"));
      c.setClientInfo("ApplicationName", "third");
      c.setSchema("public");
      say.say(rows(c, "select current_setting('application_name'), current_schema()"));
    });
    habit("discard", (c, say) -> {
      results(c, "create temp table passing (a int)");
      for (int round = 0; round < 7; round += 1) rows(c, "select ?::int", round);
      results(c, "discard all");
      say.say(failing(c, "select * from habits.passing"), failing(c, "select ?::int", 1), failing(c, "select ?::int", 1));
    });
    habit("locks", (c, say) -> {
      say.say(rows(c, "select pg_advisory_lock(42)"));
      try (Connection other = connect()) {
        say.say(rows(other, "select pg_try_advisory_lock(42)"), rows(c, "select pg_advisory_unlock(42)"), rows(other, "select pg_try_advisory_lock(42)"));
      }
    });
    habit("metadata", (c, say) -> {
      var about = c.getMetaData();
      say.say(rows(about.getTables(null, "habits", "%", null)).size(), rows(about.getPrimaryKeys(null, "habits", "items")));
      say.say(rows(about.getIndexInfo(null, "habits", "items", false, false)).size(), rows(about.getColumns(null, "habits", "items", null)).size());
    });
    habits.put("two phases", say -> {
      var source = new org.postgresql.xa.PGXADataSource();
      source.setServerNames(new String[] {System.getenv("PGHOST")});
      source.setPortNumbers(new int[] {Integer.parseInt(System.getenv("PGPORT"))});
      source.setDatabaseName(System.getenv("PGDATABASE"));
      source.setUser(System.getenv("PGUSER"));
      source.setPassword(System.getenv("PGPASSWORD"));
      var xa = source.getXAConnection();
      var xid = new javax.transaction.xa.Xid() {
        public int getFormatId() { return 1; }
        public byte[] getGlobalTransactionId() { return "habits".getBytes(); }
        public byte[] getBranchQualifier() { return "jdbc".getBytes(); }
      };
      var resource = xa.getXAResource();
      resource.start(xid, 0);
      say.say(rows(xa.getConnection(), "update habits.items set amount = 7 where id = 1"));
      resource.end(xid, javax.transaction.xa.XAResource.TMSUCCESS);
      say.say(resource.prepare(xid), resource.recover(javax.transaction.xa.XAResource.TMSTARTRSCAN).length);
      resource.commit(xid, false);
      say.say(rows(xa.getConnection(), "select amount from habits.items where id = 1"));
      xa.close();
    });
  }

  static String json(Object value) {
    if (value instanceof List<?> list) {
      StringBuilder out = new StringBuilder("[");
      for (Object each : list) out.append(out.length() > 1 ? "," : "").append(json(each));
      return out.append("]").toString();
    }
    if (value == null || value instanceof Number || value instanceof Boolean) return String.valueOf(value);
    StringBuilder out = new StringBuilder("\"");
    for (char each : value.toString().toCharArray())
      out.append(each < 32 || each == '"' || each == '\\' || each > 126 ? String.format("\\u%04x", (int) each) : "" + each);
    return out.append("\"").toString();
  }

  public static void main(String[] names) {
    define();
    for (var habit : habits.entrySet()) {
      if (names.length > 0 && !List.of(names).contains(habit.getKey())) continue;
      List<Object> saw = new ArrayList<>();
      String failed = "";
      try {
        habit.getValue().live(what -> saw.add(Arrays.asList(what)));
      } catch (Throwable thrown) {
        failed = ",\"failed\":" + json(thrown + " " + Arrays.toString(thrown.getStackTrace()));
      }
      System.out.println("{\"habit\":" + json(habit.getKey()) + ",\"saw\":" + json(saw) + failed + "}");
    }
  }
}
