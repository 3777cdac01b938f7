package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"

	"ringback/scheduler"
)

// row is one row of an answer, as database/sql scans it.
type row interface{ Scan(dest ...any) error }

// raw lends the connection of the transaction. database/sql locks it meanwhile,
// so that a transaction that is cancelled does not roll back in between.
func (t *tx) raw(do func(*pgx.Conn) error) error {
	var answer error
	err := t.conn.Raw(func(c any) error {
		lib, ok := c.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("a connection is a %T", c)
		}
		answer = do(lib.Conn())
		return nil
	})
	return errors.Join(err, answer)
}

// load copies the rows of a batch into columns of a table, which are spelt as a
// list in parentheses.
func (t *tx) load(table, columns string, b batch) error {
	return t.raw(func(conn *pgx.Conn) error {
		// Which types they are of; asked once a connection.
		query := "SELECT " + columns[1:len(columns)-1] + " FROM " + table
		sd, err := t.prepare(conn, query)
		if err != nil {
			return err
		}
		if len(sd.Fields) != len(b.columns) {
			return fmt.Errorf("a row has %d columns, not %d", len(sd.Fields), len(b.columns))
		}
		buffer, _ := parameters.Get().(*[]byte)
		all := (*buffer)[:0]
		all = append(all, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
		for i := range b.n {
			all = binary.BigEndian.AppendUint16(all, uint16(len(b.columns)))
			for c := range b.columns {
				if all, err = appendValue(all, sd.Fields[c].DataTypeOID, b.columns[c].array, i); err != nil {
					return err
				}
			}
		}
		*buffer = binary.BigEndian.AppendUint16(all, math.MaxUint16) // the end
		_, err = conn.PgConn().CopyFrom(t.ctx, bytes.NewReader(*buffer), "COPY "+table+" "+columns+" FROM STDIN (FORMAT binary)")
		if err == nil {
			keep(buffer) // else pgx may be reading it still
		} else if t.postgres.keeps && !conn.IsClosed() {
			// The types may be others since they were asked for.
			err = errors.Join(err, conn.Deallocate(context.WithoutCancel(t.ctx), query))
		}
		return err
	})
}

// prepare prepares a statement, where connections keep them.
func (t *tx) prepare(conn *pgx.Conn, query string) (*pgconn.StatementDescription, error) {
	if !t.postgres.keeps {
		return conn.Prepare(t.ctx, "", query)
	}
	return conn.Prepare(t.ctx, query, query)
}

// parameters are buffers for what is sent.
var parameters = sync.Pool{New: func() any { return new([]byte) }}

// mostKept is how large a buffer is kept for the next statement.
const mostKept = 4 << 20

func keep(buffer *[]byte) {
	if cap(*buffer) <= mostKept {
		parameters.Put(buffer)
	}
}

// ask runs a statement that takes the batch as arrays, and gives each row of
// its answer to each, which may be nil.
func (t *tx) ask(query string, b batch, each func(row) error) error {
	return t.raw(func(conn *pgx.Conn) error {
		sd, err := t.prepare(conn, query)
		if err != nil {
			return err
		}
		if len(sd.ParamOIDs) != len(b.columns) {
			return fmt.Errorf("a statement has %d parameters, not %d", len(sd.ParamOIDs), len(b.columns))
		}
		buffer, _ := parameters.Get().(*[]byte)
		defer keep(buffer)
		ends, all := make([]int, len(b.columns)), (*buffer)[:0]
		for i := range b.columns {
			if all, err = appendArray(all, conn.TypeMap(), sd.ParamOIDs[i], b.columns[i].array); err != nil {
				return err
			}
			ends[i] = len(all)
		}
		*buffer = all
		values, from := make([][]byte, len(ends)), 0
		for i, end := range ends {
			values[i], from = all[from:end], end
		}
		err = readRows(t.ctx, conn, sd, values, each)
		if replan(err) && t.postgres.keeps {
			err = errors.Join(err, conn.Deallocate(context.WithoutCancel(t.ctx), query))
		}
		return err
	})
}

// replan reports whether a statement has to be prepared anew: the schema is
// another one than it was.
func replan(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && (refused.Code == "0A000" || refused.Code == "26000")
}

func readRows(ctx context.Context, conn *pgx.Conn, sd *pgconn.StatementDescription, values [][]byte, each func(row) error) error {
	formats := make([]int16, len(sd.Fields))
	for i, f := range sd.Fields {
		if f.DataTypeOID != pgtype.UUIDOID && f.DataTypeOID != pgtype.JSONBOID { // these are texts here
			formats[i] = binaryFormat
		}
	}
	answer := conn.PgConn().ExecStatement(ctx, sd, values, []int16{binaryFormat}, formats)
	r := rawRow{fields: sd.Fields, formats: formats, types: conn.TypeMap()}
	var failed error
	for answer.NextRow() {
		if failed == nil && each != nil {
			r.values = answer.Values()
			failed = each(&r)
		}
	}
	_, err := answer.Close()
	return errors.Join(err, failed)
}

// rawRow is a row as it came.
type rawRow struct {
	values  [][]byte
	fields  []pgconn.FieldDescription
	formats []int16
	types   *pgtype.Map
}

// Scan reads the columns.
func (r *rawRow) Scan(dest ...any) error {
	if len(dest) != len(r.values) {
		return fmt.Errorf("a row has %d columns, not %d", len(r.values), len(dest))
	}
	for i, d := range dest {
		if v := r.values[i]; r.known(v, d) {
			continue
		}
		switch into := d.(type) {
		case sql.Scanner:
			if err := r.scanInto(i, into); err != nil {
				return err
			}
		default:
			if err := r.types.Scan(r.fields[i].DataTypeOID, r.formats[i], r.values[i], d); err != nil {
				return fmt.Errorf("column %s: %w", r.fields[i].Name, err)
			}
		}
	}
	return nil
}

// scanInto gives a value to what scans itself.
func (r *rawRow) scanInto(i int, into sql.Scanner) error {
	var v any
	if r.values[i] != nil {
		dt, ok := r.types.TypeForOID(r.fields[i].DataTypeOID)
		if !ok {
			return fmt.Errorf("column %s is of an unknown type", r.fields[i].Name)
		}
		var err error
		if v, err = dt.Codec.DecodeDatabaseSQLValue(r.types, dt.OID, r.formats[i], r.values[i]); err != nil {
			return fmt.Errorf("column %s: %w", r.fields[i].Name, err)
		}
	}
	return into.Scan(v)
}

// known reads a value into the types that rows are mostly made of; false if
// that is left to others.
func (r *rawRow) known(v []byte, dest any) bool {
	switch d := dest.(type) {
	case *string:
		return readText(v, d)
	case *scheduler.ClientID:
		return readText(v, d)
	case *scheduler.CallID:
		return readText(v, d)
	case *scheduler.Status:
		return readText(v, d)
	case *scheduler.Result:
		return readText(v, d)
	case *scheduler.Gate:
		return readText(v, d)
	case *int:
		return readNumber(v, d)
	case *int64:
		return readNumber(v, d)
	case *scheduler.TaskID:
		return readNumber(v, d)
	case *scheduler.QueueID:
		return readNumber(v, d)
	case *scheduler.ExtensionID:
		return readNumber(v, d)
	case *bool:
		if len(v) != 1 {
			return false
		}
		*d = v[0] != 0
	case *sql.RawBytes:
		*d = v
	case nullTime:
		at, ok := time.Time{}, true
		if v != nil {
			at, ok = readTime(v)
		}
		*d.t = at
		return ok
	default:
		return false
	}
	return true
}

// readText reads a text into a string of its own.
func readText[T ~string](v []byte, into *T) bool {
	if v == nil {
		return false
	}
	*into = T(v)
	return true
}

func readNumber[T ~int | ~int64](v []byte, into *T) bool {
	n, ok := readInt(v)
	*into = T(n)
	return ok
}
