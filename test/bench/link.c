/*
 * A wire with a length and a rate: two TUN devices, one in the network namespace that this runs in, one in another,
 * and every packet of one comes out of the other after the delay.
 *
 *   link FAR_NAMESPACE DELAY_MICROSECONDS RATE_MBIT QUEUE_BYTES
 *
 * FAR_NAMESPACE is a path such as /proc/PID/ns/net. The delay is one way. With a rate, a packet leaves when the ones
 * before it have; what would wait behind more than QUEUE_BYTES is dropped, as a router does it. The devices are named
 * `wire`, the near end is 192.0.2.1, the far end 192.0.2.2. Prints "ready", and runs until it is ended.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* What an Ethernet frame adds to an IP packet on the wire: preamble, header, checksum, gap. */
enum { packet_bytes = 1500, frame_bytes = 38, packets_waiting = 1 << 15, packets_at_once = 64 };

struct packet {
  uint64_t due;
  uint32_t length;
  unsigned char bytes[packet_bytes];
};

/* One direction: a ring of packets in the order in which they come out. */
struct direction {
  int from, to;
  struct packet *ring;
  uint32_t first, next;
  uint64_t free_at;
};

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int open_device(const char *own, const char *other) {
  int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (device < 0) fail("/dev/net/tun");
  struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
  strcpy(request.ifr_name, "wire");
  if (ioctl(device, TUNSETIFF, &request) < 0) fail("TUNSETIFF");
  char command[200];
  snprintf(command, sizeof command, "ip link set wire mtu %d txqueuelen 100000 up && ip addr add %s peer %s dev wire",
           packet_bytes, own, other);
  if (system(command) != 0) exit(1);
  return device;
}

static void take(struct direction *way, uint64_t delay, uint64_t rate, uint64_t queue) {
  for (int count = 0; count < packets_at_once && way->next - way->first < packets_waiting; count++) {
    struct packet *packet = &way->ring[way->next % packets_waiting];
    ssize_t length = read(way->from, packet->bytes, packet_bytes);
    if (length <= 0) return;
    uint64_t leaves = now();
    if (rate > 0) {
      if (way->free_at < leaves) way->free_at = leaves;
      if ((way->free_at - leaves) * rate / 8000 > queue) continue;
      way->free_at += (uint64_t)(length + frame_bytes) * 8000 / rate;
      leaves = way->free_at;
    }
    packet->length = (uint32_t)length;
    packet->due = leaves + delay;
    way->next++;
  }
}

/* When the next packet is due. */
static uint64_t give(struct direction *way) {
  while (way->first != way->next) {
    struct packet *packet = &way->ring[way->first % packets_waiting];
    if (packet->due > now()) return packet->due;
    if (write(way->to, packet->bytes, packet->length) < 0) {
      /* The receiver's kernel has no room: a moment later. */
      return now() + 100000;
    }
    way->first++;
  }
  return UINT64_MAX;
}

int main(int count, char **arguments) {
  if (count != 5) {
    fputs("usage: link FAR_NAMESPACE DELAY_MICROSECONDS RATE_MBIT QUEUE_BYTES\n", stderr);
    return 2;
  }
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), far = open(arguments[1], O_RDONLY | O_CLOEXEC);
  if (home < 0 || far < 0) fail(arguments[1]);
  uint64_t delay = strtoull(arguments[2], NULL, 10) * 1000, rate = strtoull(arguments[3], NULL, 10);
  uint64_t queue = strtoull(arguments[4], NULL, 10);
  int near_device = open_device("192.0.2.1", "192.0.2.2");
  if (setns(far, CLONE_NEWNET) < 0) fail("setns");
  int far_device = open_device("192.0.2.2", "192.0.2.1");
  if (setns(home, CLONE_NEWNET) < 0) fail("setns");
  struct direction ways[2] = { { .from = near_device, .to = far_device }, { .from = far_device, .to = near_device } };
  for (int way = 0; way < 2; way++) {
    ways[way].ring = malloc(sizeof(struct packet) * packets_waiting);
    if (ways[way].ring == NULL) fail("malloc");
  }
  puts("ready");
  fflush(stdout);
  while (1) {
    uint64_t due = UINT64_MAX;
    for (int way = 0; way < 2; way++) {
      take(&ways[way], delay, rate, queue);
      uint64_t next = give(&ways[way]);
      if (next < due) due = next;
    }
    uint64_t time = now();
    if (due <= time) continue;
    uint64_t wait = due == UINT64_MAX ? 1000000000u : due - time;
    struct timespec span = { (time_t)(wait / 1000000000u), (long)(wait % 1000000000u) };
    struct pollfd ready[2] = { { near_device, POLLIN, 0 }, { far_device, POLLIN, 0 } };
    ppoll(ready, 2, &span, NULL);
  }
}
