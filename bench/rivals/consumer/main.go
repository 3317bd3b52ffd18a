// A consumer as one writes it by hand: so many workers, one POST for each message, then its ack.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"

	amqp "github.com/rabbitmq/amqp091-go"
)

type task struct {
	URL     string          `json:"url"`
	Payload json.RawMessage `json:"payload"`
}

func call(client *http.Client, body []byte) error {
	var found task
	if err := json.Unmarshal(body, &found); err != nil {
		return err
	}
	answer, err := client.Post(found.URL, "application/json", bytes.NewReader(found.Payload))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

func main() {
	url := flag.String("url", "", "of the broker")
	queue := flag.String("queue", "default", "")
	concurrency := flag.Int("concurrency", 100, "requests at one time")
	flag.Parse()
	connection, err := amqp.Dial(*url)
	if err != nil {
		log.Fatal(err)
	}
	channel, err := connection.Channel()
	if err != nil {
		log.Fatal(err)
	}
	if err = channel.Qos(2**concurrency, 0, false); err != nil {
		log.Fatal(err)
	}
	deliveries, err := channel.Consume(*queue, "", false, false, false, false, nil)
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *concurrency}}
	for n := 0; n < *concurrency; n++ {
		go func() {
			for each := range deliveries {
				if err := call(client, each.Body); err != nil {
					log.Print(err)
					_ = each.Nack(false, true)
				} else {
					_ = each.Ack(false)
				}
			}
		}()
	}
	log.Fatal(<-connection.NotifyClose(make(chan *amqp.Error)))
}
