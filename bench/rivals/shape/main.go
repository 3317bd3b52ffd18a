// One process that publishes, calls and counts: the shape of the benchmark of mentat/taskqueue.
//
// Prints the seconds from the first publish to the last request.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

type task struct {
	URL     string          `json:"url"`
	Payload json.RawMessage `json:"payload"`
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// receive counts requests and says when the last one has come.
func receive(last int64) (string, chan struct{}) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	var count int64
	done := make(chan struct{})
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write([]byte("ok"))
		if atomic.AddInt64(&count, 1) == last {
			close(done)
		}
	}))
	return "http://" + listener.Addr().String() + "/t/1", done
}

func call(client *http.Client, each amqp.Delivery) {
	var found task
	must(json.Unmarshal(each.Body, &found))
	answer, err := client.Post(found.URL, "application/json", bytes.NewReader(found.Payload))
	must(err)
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	must(each.Ack(false))
}

func open(connection *amqp.Connection) *amqp.Channel {
	channel, err := connection.Channel()
	must(err)
	return channel
}

func main() {
	url := flag.String("url", "", "of the broker")
	queue := flag.String("queue", "default", "")
	concurrency := flag.Int("concurrency", 2, "requests at one time")
	tasks := flag.Int64("tasks", 10000, "")
	flag.Parse()
	target, done := receive(*tasks)
	connection, err := amqp.Dial(*url)
	must(err)
	deliveries, err := open(connection).Consume(*queue, "", false, false, false, false, nil)
	must(err)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *concurrency}}
	room := make(chan struct{}, *concurrency)
	go func() {
		for each := range deliveries {
			room <- struct{}{}
			go func(each amqp.Delivery) {
				call(client, each)
				<-room
			}(each)
		}
	}()
	publisher, began := open(connection), time.Now()
	body := []byte(fmt.Sprintf(`{"url":"%s","payload":{"text":"%s"}}`, target, strings.Repeat("x", 450)))
	letter := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body}
	for n := int64(0); n < *tasks; n++ {
		must(publisher.Publish("", *queue, false, false, letter))
	}
	<-done
	fmt.Println(time.Since(began).Seconds())
}
