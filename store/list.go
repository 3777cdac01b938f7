package store

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"ringback/scheduler"
)

// list reads a page of the rows that q selects, ordered by id, and counts them
// as far as lists are counted.
func list[T any](q *gorm.DB, p scheduler.Page) (scheduler.List[T], error) {
	beyond := "id > ?"
	if p.Descending {
		beyond = "id < ?"
	}
	all := q.Session(&gorm.Session{})
	page := all
	if p.After != 0 {
		page = all.Where(beyond, p.After)
	}
	return paged[T](all, page.Order(direction("id", p)), p)
}

// paged reads the rows of page that lie at p, and counts those of all.
func paged[T any](all, page *gorm.DB, p scheduler.Page) (scheduler.List[T], error) {
	found := scheduler.List[T]{Rows: []T{}}
	if err := page.Limit(p.Size).Offset(p.Offset()).Find(&found.Rows).Error; err != nil {
		return scheduler.List[T]{}, err
	}
	var total int64
	some := all.Select("1").Limit(scheduler.CountLimit + 1)
	err := all.Session(&gorm.Session{NewDB: true}).Table("(?) AS counted", some).Count(&total).Error
	found.Total = int(total)
	return found, err
}

// direction spells the order of a page by a column.
func direction(column string, p scheduler.Page) string {
	if p.Descending {
		return column + " DESC"
	}
	return column
}

// one reads the only row that q selects; without one the error is of kind
// NotFound and says so in the words given.
func one[T any](q *gorm.DB, format string, args ...any) (T, error) {
	var row T
	err := q.Take(&row).Error
	if missing(err) {
		return row, scheduler.Errorf(scheduler.NotFound, format, args...)
	}
	return row, err
}

// missing reports whether err says that there is no such row. An id that is no
// GUID is nobody's: PostgreSQL refuses to compare it (22P02), SQLite finds none.
func missing(err error) bool {
	var pg *pgconn.PgError
	return errors.Is(err, gorm.ErrRecordNotFound) || errors.As(err, &pg) && pg.Code == "22P02"
}

// beside lists the columns of an R, of a table in a join, for a struct that
// embeds it by a prefix.
func beside[R any](db *gorm.DB, table, prefix string) string {
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(new(R)); err != nil {
		panic(err) // as every statement of it would
	}
	columns := make([]string, len(stmt.Schema.DBNames))
	for i, name := range stmt.Schema.DBNames {
		columns[i] = table + "." + name + " AS " + prefix + name
	}
	return strings.Join(columns, ", ")
}
