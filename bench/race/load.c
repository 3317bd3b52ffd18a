// What the receiver can do: so many connections, on each one request after the other, for a while.
//
// load PORT CONNECTIONS SECONDS: prints the requests a second that were answered.

#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BODY = 500, EVENTS = 256 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int port = atoi(argv[1]), connections = atoi(argv[2]), poller = epoll_create1(0), one = 1;
  char request[1024], answer[1024];
  int length = sprintf(request,
    "POST /t/00000000 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
    "Webhook-Runner-Attempt: 1\r\nContent-Length: %d\r\n\r\n", port, BODY);
  memset(request + length, 'x', BODY);
  length += BODY;
  struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int i = 0; i < connections; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&where, sizeof where)) { perror("connect"); return 1; }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    if (write(fd, request, (size_t)length) != length) return 1;
  }
  double began = now(), seconds = atof(argv[3]);
  long done = 0;
  while (now() < began + seconds) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poller, events, EVENTS, 100);
    for (int i = 0; i < ready; i++) {
      if (read(events[i].data.fd, answer, sizeof answer) <= 0) return 1;
      done++;
      if (write(events[i].data.fd, request, (size_t)length) != length) return 1;
    }
  }
  printf("%.0f\n", (double)done / (now() - began));
  return 0;
}
