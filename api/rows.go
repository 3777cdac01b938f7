package api

import (
	"strconv"

	"github.com/labstack/echo/v4"
)

// pieceSize is how long a piece of a long answer is, in bytes.
const pieceSize = 256 << 10

// answerRows answers a request that made many things with all of them, in
// pieces: 50,000 tasks in one buffer that grows would take several times the
// memory of their text. All of it is encoded before anything is sent.
func answerRows[T any, W appender](c echo.Context, code int, rows []T, tell func(*T) W) error {
	var pieces [][]byte
	piece := append(make([]byte, 0, min(pieceSize, 2048*(len(rows)+1))), '[')
	length := 0
	for i := range rows {
		if i > 0 {
			piece = append(piece, ',')
		}
		piece = tell(&rows[i]).appendJSON(piece)
		if len(piece) > pieceSize*7/8 {
			length += len(piece)
			pieces = append(pieces, piece)
			piece = make([]byte, 0, pieceSize)
		}
	}
	piece = append(piece, "]\n"...)
	pieces = append(pieces, piece)
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	h.Set(echo.HeaderContentLength, strconv.Itoa(length+len(piece)))
	c.Response().WriteHeader(code)
	for _, p := range pieces {
		if _, err := c.Response().Write(p); err != nil {
			return err
		}
	}
	return nil
}
