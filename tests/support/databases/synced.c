/* What a disk is sure to have: loaded into a server, it copies a database's files at each sync.
 *
 * The content as it was when the sync began is kept in the folder that SYNCED names, in a file named
 * by the moment at which the sync had ended (CLOCK_MONOTONIC, ns) and by the name of what was synced.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int ends_with(const char *path, const char *end) {
  size_t length = strlen(path), most = strlen(end);
  return length >= most && strcmp(path + length - most, end) == 0;
}

/* Copy what the descriptor's file has now; the copy's path, or an empty one if it is not of a database. */
static void copied(int fd, char *copy, size_t size, const char **name) {
  static __thread char path[4096];
  char link[64], buffer[65536];
  const char *folder = getenv("SYNCED");
  copy[0] = 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (!folder || length < 0) return;
  path[length] = 0;
  if (!ends_with(path, ".db") && !ends_with(path, ".db-wal")) return;
  *name = strrchr(path, '/') + 1;
  snprintf(copy, size, "%s/under-way-%d-%lu", folder, fd, (unsigned long)time(NULL));
  int out = open(copy, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  off_t at = 0;
  ssize_t got;
  while ((got = pread(fd, buffer, sizeof buffer, at)) > 0) {
    if (write(out, buffer, got) != got) abort();
    at += got;
  }
  close(out);
}

static int synced(const char *call, int fd) {
  char copy[4200], kept[4300];
  const char *name = "";
  struct timespec now;
  copied(fd, copy, sizeof copy, &name);
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, call);
  int result = real(fd);
  if (copy[0]) {
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(kept, sizeof kept, "%s/%020lld-%s", getenv("SYNCED"),
             now.tv_sec * 1000000000LL + now.tv_nsec, name);
    rename(copy, kept);
  }
  return result;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
