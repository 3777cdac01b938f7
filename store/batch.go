package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// statement is one hot statement in the words of both databases. On PostgreSQL
// it runs once for a batch, each parameter an array of a value per row; on
// SQLite it is prepared and runs once a row, each parameter a value. ($1 is the
// first parameter in both.)
type statement struct {
	postgres, sqlite string
}

// batch is the parameters of a statement for n rows, a column per parameter.
type batch struct {
	n       int
	columns []column
	answers int // how many rows are expected of a query, if not one for each
}

// column is a parameter's value in every row.
type column struct {
	array any // a slice, as PostgreSQL takes it
	at    func(row int) any
}

// col makes a column of what get says of each row.
func col[R, T any](rows []R, get func(*R) T) column {
	values := make([]T, len(rows))
	for i := range rows {
		values[i] = get(&rows[i])
	}
	return column{array: values, at: func(i int) any { return values[i] }}
}

// constant makes a column of one value that every row has. On PostgreSQL it is
// an array of one.
func constant[T any](v T) column { return column{array: []T{v}, at: func(int) any { return v }} }

// constantTime is constant of a time that is not zero.
func constantTime(v time.Time) column {
	return column{array: []time.Time{v}, at: func(int) any { return nullable(v) }}
}

// timeCol makes a column of times; the zero time is NULL.
func timeCol[R any](rows []R, get func(*R) time.Time) column {
	values := make([]time.Time, len(rows))
	for i := range rows {
		values[i] = get(&rows[i])
	}
	return column{array: values, at: func(i int) any { return nullable(values[i]) }}
}

// jsonCol makes a column of JSON texts of what get returns or points to; empty
// stands for nil, a zero value, and what encodes to null.
func jsonCol[R any](rows []R, empty string, get func(*R) any) (column, error) {
	values := make([]string, len(rows))
	for i := range rows {
		v := get(&rows[i])
		if of := reflect.ValueOf(v); !of.IsValid() || reflect.Indirect(of).IsZero() {
			values[i] = empty
			continue
		}
		text, err := json.Marshal(v)
		if err != nil {
			return column{}, fmt.Errorf("encode a column: %w", err)
		}
		values[i] = string(text)
		if values[i] == "null" {
			values[i] = empty
		}
	}
	return column{array: values, at: func(i int) any { return values[i] }}, nil
}

// row returns the parameters of one row.
func (b batch) row(i int) []any {
	args := make([]any, len(b.columns))
	for c := range b.columns {
		args[c] = b.columns[c].at(i)
	}
	return args
}

// exec runs the statement for every row of the batch.
func (t *tx) exec(st statement, b batch) error {
	if b.n == 0 {
		return nil
	}
	if t.postgres != nil {
		return t.ask(st.postgres, b, nil)
	}
	_, err := t.each(st, b)
	return err
}

// matched runs an UPDATE for every row of the batch and says which rows it
// found. On PostgreSQL the statement's first parameter is the rows' ids, which
// it returns.
func (t *tx) matched(st statement, b batch) ([]bool, error) {
	if b.n == 0 {
		return nil, nil
	}
	if t.postgres == nil {
		return t.each(st, b)
	}
	ids := make([]int64, 0, b.n)
	if err := t.ask(st.postgres, b, func(r row) error {
		ids = append(ids, 0)
		return r.Scan(&ids[len(ids)-1])
	}); err != nil {
		return nil, err
	}
	slices.Sort(ids)
	found := make([]bool, b.n)
	for i := range found {
		_, found[i] = slices.BinarySearch(ids, toInt64(b.columns[0].at(i)))
	}
	return found, nil
}

func toInt64(v any) int64 {
	n, _ := v.(int64)
	return n
}

// each runs the statement row by row, as SQLite likes it best.
func (t *tx) each(st statement, b batch) (found []bool, err error) {
	prepared, err := t.pool.PrepareContext(t.ctx, st.sqlite)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, prepared.Close()) }()
	found = make([]bool, b.n)
	for i := range found {
		res, err := prepared.ExecContext(t.ctx, b.row(i)...)
		if err != nil {
			return nil, err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return nil, err
		}
		found[i] = n > 0
	}
	return found, nil
}

// collect returns the rows of a query, each read by scan.
func collect[T any](t *tx, query string, args []any, scan func(*sql.Rows, *T) error) ([]T, error) {
	rows, err := t.pool.QueryContext(t.ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		all = append(all, *new(T))
		if err := scan(rows, &all[len(all)-1]); err != nil {
			return nil, err
		}
	}
	return all, rows.Err()
}

// gather returns the rows of a query that is asked for each row of a batch: by
// one statement on PostgreSQL, by one for each on SQLite.
func gather[T any](t *tx, st statement, b batch, scan func(row, *T) error) (all []T, err error) {
	if t.postgres != nil {
		all = make([]T, 0, max(b.n, b.answers))
		err = t.ask(st.postgres, b, func(r row) error {
			all = append(all, *new(T))
			return scan(r, &all[len(all)-1])
		})
		return all, err
	}
	prepared, err := t.pool.PrepareContext(t.ctx, st.sqlite)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, prepared.Close()) }()
	for i := range b.n {
		rows, err := prepared.QueryContext(t.ctx, b.row(i)...)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			all = append(all, *new(T))
			if err = scan(rows, &all[len(all)-1]); err != nil {
				break
			}
		}
		if err := closed(rows, err); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func closed(rows *sql.Rows, err error) error {
	if err == nil {
		err = rows.Err()
	}
	if e := rows.Close(); err == nil {
		err = e
	}
	return err
}
