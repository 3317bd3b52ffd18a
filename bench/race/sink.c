// The receiver: answers every request and notes when it came, in a file that is shared memory.
//
// sink FILE CAPACITY HOSTS DELAY_MS [CERTIFICATE KEY]: listens on 127.0.0.1 to 127.0.0.HOSTS, all on
// one port, which it prints. The first step of a path says what to do: /slow/7 is answered after
// DELAY_MS, /fail/7 with 500 when it is the first attempt, all else with 200 at once.
// FILE: 64 bytes whose first 8 count the records; then records of 24 bytes: when it came and when it
// said that it was due (epoch seconds, doubles), the number that ends the path, the status (int32).

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 16384, ROOM = 16384, EVENTS = 256 };

struct record { double at, due; int32_t number, status; };
struct connection { SSL *ssl; uint32_t generation; int length, listening; char room[ROOM]; };
struct promise { double due; int fd; uint32_t generation; };

static struct connection *all[MOST];
static struct promise promises[MOST];
static unsigned promised, kept;
static uint64_t *count;
static struct record *records;
static uint64_t capacity;
static double delay;
static SSL_CTX *tls;
static int poller;

static const char YES[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
static const char NO[] = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what) { perror(what); exit(1); }

static void hang_up(int fd) {
  if (all[fd]->ssl) SSL_free(all[fd]->ssl);
  all[fd]->ssl = NULL;
  all[fd]->generation++;
  close(fd);
}

static void say(int fd, const char *words, int length) {
  SSL *ssl = all[fd]->ssl;
  if ((ssl ? SSL_write(ssl, words, length) : (int)write(fd, words, (size_t)length)) != length)
    shutdown(fd, SHUT_RDWR);
}

static void note(double due, int32_t number, int32_t status) {
  uint64_t at = *count;
  if (at >= capacity) return;
  records[at] = (struct record){now(), due, number, status};
  __atomic_store_n(count, at + 1, __ATOMIC_RELEASE);
}

// The value of a header field, whose name is given in lower case with its colon.
static const char *field(const char *head, const char *end, const char *name) {
  size_t length = strlen(name);
  for (const char *at = head; (at = memchr(at, '\n', (size_t)(end - at))); )
    if (++at < end && (*at | 32) == *name && !strncasecmp(at, name, length)) return at + length;
  return NULL;
}

// When a request says that it was due, in epoch seconds, or 0.
static double due(const char *head, const char *end) {
  const char *said = field(head, end, "webhook-runner-eta:");
  struct tm day = {0};
  double seconds;
  if (!said || sscanf(said, " %d-%d-%dT%d:%d:%lfZ", &day.tm_year, &day.tm_mon, &day.tm_mday,
                      &day.tm_hour, &day.tm_min, &seconds) != 6) return 0;
  day.tm_year -= 1900;
  day.tm_mon -= 1;
  return (double)timegm(&day) + seconds;
}

static void answer(int fd, const char *head, const char *end) {
  const char *path = memchr(head, ' ', (size_t)(end - head));
  const char *stop = path ? memchr(path + 1, ' ', (size_t)(end - path - 1)) : NULL;
  if (!stop) { shutdown(fd, SHUT_RDWR); return; }
  const char *digits = stop;
  while (digits[-1] >= '0' && digits[-1] <= '9') digits--;
  const char *attempt = path[2] == 'f' ? field(head, end, "webhook-runner-attempt:") : NULL;
  int bad = attempt && atoi(attempt) == 1;
  note(due(head, end), atoi(digits), bad ? 500 : 200);
  if (bad) say(fd, NO, sizeof NO - 1);
  else if (path[2] == 's' && promised - kept < MOST)
    promises[promised++ % MOST] = (struct promise){now() + delay, fd, all[fd]->generation};
  else say(fd, YES, sizeof YES - 1);
}

// Answer every whole request that is there; return how many bytes they were.
static int take(int fd, char *from, int length) {
  int taken = 0;
  while (taken < length) {
    char *head = from + taken, *end = memmem(head, (size_t)(length - taken), "\r\n\r\n", 4);
    if (!end) break;
    const char *size = field(head, end, "content-length:");
    int whole = (int)(end - head) + 4 + (size ? atoi(size) : 0);
    if (whole > length - taken) break;
    answer(fd, head, end);
    taken += whole;
  }
  return taken;
}

static void receive(int fd) {
  struct connection *one = all[fd];
  for (;;) {
    int free = ROOM - one->length, got;
    if (one->ssl) {
      got = SSL_read(one->ssl, one->room + one->length, free);
      if (got <= 0 && SSL_get_error(one->ssl, got) == SSL_ERROR_WANT_READ) return;
    } else {
      got = (int)read(fd, one->room + one->length, (size_t)free);
      if (got < 0 && errno == EAGAIN) return;
    }
    if (got <= 0) { hang_up(fd); return; }
    one->length += got;
    int taken = take(fd, one->room, one->length);
    one->length -= taken;
    if (one->length) memmove(one->room, one->room + taken, (size_t)one->length);
    if (one->length == ROOM) { hang_up(fd); return; }
    if (!one->ssl && got < free) return;
  }
}

static void watch(int fd, int listening) {
  if (fd >= MOST) { close(fd); return; }
  if (!all[fd]) all[fd] = calloc(1, sizeof **all);
  all[fd]->length = 0;
  all[fd]->listening = listening;
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

static void welcome(int listener) {
  int fd, one = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(fd, 0);
    if (!tls || fd >= MOST) continue;
    all[fd]->ssl = SSL_new(tls);
    SSL_set_fd(all[fd]->ssl, fd);
    SSL_set_accept_state(all[fd]->ssl);
  }
}

static int listen_on(int host, int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  where.sin_addr.s_addr = htonl(0x7f000000u + (uint32_t)host);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&where, sizeof where) || listen(fd, 4096)) fail("bind");
  socklen_t size = sizeof where;
  getsockname(fd, (struct sockaddr *)&where, &size);
  watch(fd, 1);
  return ntohs(where.sin_port);
}

static void share(const char *file) {
  size_t size = 64 + capacity * sizeof(struct record);
  int fd = open(file, O_RDWR | O_CREAT, 0600);
  if (fd < 0 || ftruncate(fd, (off_t)size)) fail(file);
  char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) fail("mmap");
  count = (uint64_t *)memory;
  records = (struct record *)(memory + 64);
}

static void secure(const char *certificate, const char *key) {
  tls = SSL_CTX_new(TLS_server_method());
  if (SSL_CTX_use_certificate_chain_file(tls, certificate) != 1) fail("certificate");
  if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) fail("key");
}

// Give the answers that are due; return the milliseconds until the next one, or -1.
static int keep_promises(void) {
  while (kept != promised) {
    struct promise *next = &promises[kept % MOST];
    double left = next->due - now();
    if (left > 0) return (int)(left * 1000) + 1;
    if (all[next->fd]->generation == next->generation) say(next->fd, YES, sizeof YES - 1);
    kept++;
  }
  return -1;
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  signal(SIGPIPE, SIG_IGN);
  capacity = strtoull(argv[2], NULL, 10);
  delay = atof(argv[4]) / 1000;
  poller = epoll_create1(0);
  share(argv[1]);
  if (argc > 6) secure(argv[5], argv[6]);
  int port = listen_on(1, 0);
  for (int host = 2; host <= atoi(argv[3]); host++) listen_on(host, port);
  printf("%d\n", port);
  fflush(stdout);
  for (;;) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poller, events, EVENTS, keep_promises());
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      if (all[fd]->listening) welcome(fd);
      else receive(fd);
    }
  }
}
