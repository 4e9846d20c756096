// pgx, doing what programs do with it.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var ctx = context.Background()

type say func(what ...any)

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Everything that the server said of an error; of others only what kind they are.
func failure(err error) any {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return *server
	}
	if err == nil {
		return "no error"
	}
	return fmt.Sprintf("%T", err)
}

func configured(options string) *pgx.ConnConfig {
	config := must(pgx.ParseConfig(options))
	if _, given := config.RuntimeParams["options"]; !given {
		config.RuntimeParams["search_path"] = "habits"
	}
	return config
}

func connected(work func(c *pgx.Conn), options ...string) {
	c := must(pgx.ConnectConfig(ctx, configured(strings.Join(options, " "))))
	defer c.Close(ctx)
	work(c)
}

func rows(c *pgx.Conn, text string, values ...any) [][]any {
	found := must(c.Query(ctx, text, values...))
	return must(pgx.CollectRows(found, func(row pgx.CollectableRow) ([]any, error) { return row.Values() }))
}

func failing(c *pgx.Conn, text string, values ...any) any {
	_, err := c.Exec(ctx, text, values...)
	return failure(err)
}

type habit struct {
	name string
	live func(say say)
}

func in(work func(c *pgx.Conn, say say), options ...string) func(say) {
	return func(say say) { connected(func(c *pgx.Conn) { work(c, say) }, options...) }
}

var habits = []habit{
	{"prepare", in(func(c *pgx.Conn, say say) {
		for _, text := range []string{
			"drop schema if exists habits cascade", "create schema habits", "create type mood as enum ('happy', 'sad')",
			"create table items (id int primary key, name text unique, amount int check (amount > 0))",
			"insert into items select g, 'n' || g, g from generate_series(1, 500) g",
		} {
			say(must(c.Exec(ctx, text)).String())
		}
	})},
	{"types", in(func(c *pgx.Conn, say say) {
		values := map[string]any{
			"int4": int32(1), "int2": int16(-32768), "int8": int64(1<<63 - 1), "numeric": "12345.6789000", "float8": 1.5,
			"text": "text ☃", "bytea": []byte{0, 1, 254, 255}, "timestamptz": time.Unix(1_700_000_000, 0).UTC(),
			"jsonb": map[string]any{"a": []any{1, nil}}, "text[]": []string{"a", "b\"\\"}, "bool": true, "mood": "sad",
			"int4[]": []*int32{nil}, "uuid": "00000000-0000-4000-8000-000000000001", "int4range": "[1,5)", "inet": nil,
		}
		names := []string{}
		for name := range values {
			names = append(names, name)
		}
		slices.Sort(names)
		modes := []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe,
			pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol}
		for _, name := range names {
			for _, mode := range modes {
				found, err := c.Query(ctx, "select $1::"+name, mode, values[name])
				if err == nil {
					row, err := pgx.CollectExactlyOneRow(found, func(row pgx.CollectableRow) ([]any, error) {
						say(row.FieldDescriptions()[0].Format, string(row.RawValues()[0]))
						return row.Values()
					})
					say(name, mode.String(), row, failure(err))
				} else {
					say(name, mode.String(), failure(err))
				}
			}
		}
	})},
	{"prepared", in(func(c *pgx.Conn, say say) {
		for round := range 4 {
			say(rows(c, "select name from items where id = $1", round+1), rows(c, "select $1::int + 1", round))
		}
		described := must(c.Prepare(ctx, "named", "select $1::int as a, $2::text as b"))
		say(described.ParamOIDs, len(described.Fields), rows(c, "named", 7, "x"))
		_, err := c.PgConn().Prepare(ctx, "named", "select 1", nil)
		say(failure(err), failure(c.Deallocate(ctx, "named")), failing(c, "select 1 / $1::int", 0))
		say(failing(c, "deallocate all"), failing(c, "select name from items where id = $1", 1))
		say(rows(c, "select name from items where id = $1", 1))
		must(c.Exec(ctx, "alter table items add column more int"))
		say(failing(c, "select * from items where id = $1", 1), rows(c, "select * from items where id = $1", 1))
		must(c.Exec(ctx, "alter table items drop column more"))
	})},
	{"batches", in(func(c *pgx.Conn, say say) {
		batch := &pgx.Batch{}
		for number := range 300 {
			batch.Queue("select $1::int * 2", number)
		}
		results := c.SendBatch(ctx, batch)
		sum := 0
		for range 300 {
			var number int
			check(results.QueryRow().Scan(&number))
			sum += number
		}
		say(sum, failure(results.Close()))
		batch = &pgx.Batch{}
		for _, divisor := range []int{1, 2, 0, 4, 5} {
			batch.Queue("update items set amount = 10 / $1::int + 1 where id = 5", divisor)
		}
		results = c.SendBatch(ctx, batch)
		for range 5 {
			tag, err := results.Exec()
			say(tag.String(), failure(err))
		}
		say(failure(results.Close()), rows(c, "select amount from items where id = 5"))
	})},
	{"pipeline", in(func(c *pgx.Conn, say say) {
		p := c.PgConn().StartPipeline(ctx)
		p.SendPrepare("p", "select 10 / $1::int", nil)
		p.SendQueryPrepared("p", [][]byte{[]byte("5")}, nil, nil)
		p.SendFlushRequest()
		check(p.Flush())
		say(pipelined(p, 2))
		check(p.Sync())
		p.SendQueryPrepared("p", [][]byte{[]byte("0")}, nil, nil)
		p.SendQueryPrepared("p", [][]byte{[]byte("1")}, nil, nil)
		check(p.Sync())
		p.SendQueryParams("select 'after'", nil, nil, nil, nil)
		p.SendDeallocate("p")
		check(p.Sync())
		say(pipelined(p, 6))
		say(failure(p.Close()), rows(c, "select 1"))
	})},
	{"portals", in(func(c *pgx.Conn, say say) {
		found := must(c.Query(ctx, "select id from items order by id"))
		found.Next()
		found.Close()
		say(found.CommandTag().String(), failure(found.Err()))
		found = must(c.Query(ctx, "select 10 / (5 - g) from generate_series(1, 10) g"))
		seen := 0
		for found.Next() {
			seen++
		}
		say(seen, failure(found.Err()), rows(c, "select 1"))
	})},
	{"cursors", in(func(c *pgx.Conn, say say) {
		tx := must(c.Begin(ctx))
		must(tx.Exec(ctx, "declare c scroll cursor for select id, name from items where id > $1 order by id", 3))
		for _, text := range []string{"fetch 2 from c", "move 3 in c", "fetch backward 1 from c", "fetch 2 from c"} {
			say(rows(c, text), rows(c, "select 'between'"))
		}
		check(tx.Commit(ctx))
	})},
	{"copy", in(func(c *pgx.Conn, say say) {
		must(c.Exec(ctx, "create table copied (a int, b text)"))
		lines := [][]any{}
		for number := range 5000 {
			lines = append(lines, []any{number, fmt.Sprint("line ", number)})
		}
		say(must(c.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"a", "b"}, pgx.CopyFromRows(lines))))
		text := bytes.Buffer{}
		tag := must(c.PgConn().CopyTo(ctx, &text, "copy copied to stdout (format csv, header)"))
		say(tag.String(), fmt.Sprintf("%x", sha256.Sum256(text.Bytes())))
		say(must(c.PgConn().CopyFrom(ctx, strings.NewReader("1\tx\n2\t\\N\n"), "copy copied from stdin")).String())
		_, err := c.PgConn().CopyFrom(ctx, strings.NewReader("bad\tx\n"+strings.Repeat("1\tx\n", 50000)), "copy copied from stdin")
		say(failure(err))
		_, err = c.PgConn().CopyFrom(ctx, strings.NewReader(""), "copy nowhere from stdin")
		say(failure(err))
		_, err = c.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"a", "b"}, pgx.CopyFromFunc(func() ([]any, error) {
			return nil, errors.New("changed my mind")
		}))
		say(failure(err), rows(c, "select count(*) from copied"))
	})},
	{"transactions", in(func(c *pgx.Conn, say say) {
		tx := must(c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable}))
		must(tx.Exec(ctx, "delete from items where id > 100"))
		inner := must(tx.Begin(ctx))
		say(failing(c, "select 1 / 0"), failing(c, "select 1"), string(c.PgConn().TxStatus()))
		check(inner.Rollback(ctx))
		say(rows(c, "select count(*), current_setting('transaction_isolation') from items"))
		check(tx.Rollback(ctx))
		tx = must(c.Begin(ctx))
		say(failing(c, "select 1 / 0"), failure(tx.Commit(ctx)), rows(c, "select count(*) from items"))
	})},
	{"notices", func(say say) {
		config := configured("")
		config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) { say(*notice) }
		c := must(pgx.ConnectConfig(ctx, config))
		defer c.Close(ctx)
		must(c.Exec(ctx, "do $$ begin raise notice 'one %', 1; raise warning 'two' using detail = 'd', hint = 'h'; end $$"))
		must(c.Exec(ctx, "drop table if exists no_such_table"))
	}},
	{"listen", in(func(c *pgx.Conn, say say) {
		must(c.Exec(ctx, "listen news"))
		connected(func(other *pgx.Conn) {
			must(other.Exec(ctx, "notify news, 'one'"))
			must(other.Exec(ctx, "select pg_notify($1, repeat('x', 7000))", "news"))
		})
		for range 2 {
			heard := must(c.WaitForNotification(ctx))
			say(heard.Channel, heard.Payload)
		}
		late, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		_, err := c.WaitForNotification(late)
		say(failure(err), c.IsClosed(), rows(c, "select 1"))
	})},
	{"cancel", in(func(c *pgx.Conn, say say) {
		for range 3 {
			time.AfterFunc(150*time.Millisecond, func() { check(c.PgConn().CancelRequest(ctx)) })
			say(failing(c, "select pg_sleep(60)"), rows(c, "select 1"))
		}
	})},
	{"timeouts", func(say say) {
		connected(func(c *pgx.Conn) {
			say(failing(c, "select pg_sleep(30)"))
			late, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			_, err := c.Exec(late, "select pg_sleep(30)")
			say(failure(err), c.IsClosed())
		}, "statement_timeout=100")
	}},
	{"several statements", in(func(c *pgx.Conn, say say) {
		results := must(c.PgConn().Exec(ctx, "select 1 as a; values (2), (3); ; select 'x' where false; set work_mem = '5MB'").ReadAll())
		for _, result := range results {
			say(result.CommandTag.String(), result.Rows, failure(result.Err))
		}
		_, err := c.PgConn().Exec(ctx, "create table multi (a int); insert into multi values (1); select 1 / 0; select 2").ReadAll()
		say(failure(err), rows(c, "select count(*) from pg_class where relname = 'multi'"))
	})},
	{"large values", in(func(c *pgx.Conn, say say) {
		large := bytes.Repeat([]byte("gate"), 12_500_000)
		say(rows(c, "select length($1::bytea), md5($1::bytea)", large))
		var text string
		check(c.QueryRow(ctx, "select repeat('x', 50000000)").Scan(&text))
		say(len(text))
	})},
	{"many queries", in(func(c *pgx.Conn, say say) {
		sum := 0
		for number := range 500 {
			var found int
			check(c.QueryRow(ctx, "select $1::int", number).Scan(&found))
			sum += found
		}
		say(sum)
	})},
	{"options", func(say say) {
		text := "select current_setting('application_name'), current_setting('search_path'), current_setting('TimeZone'), current_setting('work_mem')"
		show := func(c *pgx.Conn) { say(rows(c, text), c.PgConn().ParameterStatus("server_version")) }
		connected(show, "application_name=habits options='-c search_path=habits,public -c work_mem=7MB --TimeZone=Asia/Tokyo'")
		connected(show, "sslmode=prefer timezone=Europe/Berlin")
		connected(show, "sslmode=prefer max_protocol_version=latest")
		for _, options := range []string{"sslmode=require", "no_such_setting=1"} {
			_, err := pgx.ConnectConfig(ctx, configured(options))
			say(fmt.Sprintf("%T", err))
		}
	}},
	{"errors", in(func(c *pgx.Conn, say say) {
		say(failing(c, "insert into items values (1, 'x', 1)"))
		say(failing(c, "insert into items values (1000, 'n2', 1)"))
		say(failing(c, "insert into items values (1001, 'y', -1)"))
		say(failing(c, "select 'ü', nowhere from items"))
		say(failing(c, "select $1::text::int", "x"))
		say(failing(c, "select 'sick'::mood"))
		say(failing(c, "do $$ begin execute 'select 1 / 0'; end $$"))
		_, err := c.Exec(ctx, "select 'ü' fro items x y")
		var server *pgconn.PgError
		errors.As(err, &server)
		say(server.Code, server.Message, server.Position)
	})},
	{"empty", in(func(c *pgx.Conn, say say) {
		for _, text := range []string{"", " ", ";", "-- nothing"} {
			say(must(c.Exec(ctx, text)).String(), must(c.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol)).String())
		}
	})},
	{"changing settings", in(func(c *pgx.Conn, say say) {
		must(c.Exec(ctx, "set TimeZone = 'Asia/Tokyo'"))
		say(c.PgConn().ParameterStatus("TimeZone"))
		say(rows(c, "select '2026-01-01 00:00:00+00'::timestamptz::text"))
	})},
	{"discard", in(func(c *pgx.Conn, say say) {
		must(c.Exec(ctx, "create temp table passing (a int)"))
		say(rows(c, "select $1::int", 1))
		must(c.Exec(ctx, "discard all"))
		say(failing(c, "select $1::int", 1), failing(c, "select * from habits.passing"), rows(c, "select $1::int", 1))
	})},
	{"locks", in(func(c *pgx.Conn, say say) {
		must(c.Exec(ctx, "select pg_advisory_lock(42)"))
		connected(func(other *pgx.Conn) {
			say(rows(other, "select pg_try_advisory_lock(42)"), rows(c, "select pg_advisory_unlock(42)"))
			say(rows(other, "select pg_try_advisory_lock(42)"))
		})
	})},
	{"large objects", in(func(c *pgx.Conn, say say) {
		tx := must(c.Begin(ctx))
		objects := tx.LargeObjects()
		oid := must(objects.Create(ctx, 0))
		object := must(objects.Open(ctx, oid, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite))
		say(must(object.Write(bytes.Repeat([]byte("gate"), 50_000))), must(object.Seek(4, 0)), must(object.Tell()))
		check(object.Truncate(1000))
		found := make([]byte, 2000)
		count, err := object.Read(found)
		say(count, failure(err), failure(objects.Unlink(ctx, oid)))
		check(tx.Commit(ctx))
	})},
	{"two phases", in(func(c *pgx.Conn, say say) {
		say(must(c.PgConn().Exec(ctx, "begin; update items set amount = 7 where id = 1; prepare transaction 'habits'").ReadAll())[2].CommandTag.String())
		say(failing(c, "commit prepared 'habits'"), rows(c, "select amount from items where id = 1"))
	})},
}

func pipelined(p *pgconn.Pipeline, count int) []any {
	seen := []any{}
	for range count {
		result, err := p.GetResults()
		if reader, is := result.(*pgconn.ResultReader); is {
			read := reader.Read()
			seen = append(seen, read.Rows, failure(read.Err))
			continue
		}
		seen = append(seen, fmt.Sprintf("%T", result), failure(err))
	}
	return seen
}

func perform(habit habit) (saw [][]any, failed any) {
	defer func() {
		if thrown := recover(); thrown != nil {
			failed = fmt.Sprint(thrown)
		}
	}()
	habit.live(func(what ...any) { saw = append(saw, what) })
	return
}

func main() {
	for _, habit := range habits {
		if len(os.Args) > 1 && !slices.Contains(os.Args[1:], habit.name) {
			continue
		}
		saw, failed := perform(habit)
		line := map[string]any{"habit": habit.name, "saw": saw}
		if failed != nil {
			line["failed"] = failed
		}
		check(json.NewEncoder(os.Stdout).Encode(line))
	}
}
