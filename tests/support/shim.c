/* A PKCS#11 module that stands before a real one, and disturbs it: as slow, forgetful or broken as it is told.
 *
 * It hands every call on, but for the few below. What it does and what it counted stand in a file that tests
 * map into memory: 64-bit words in the order of tests/support/shim.py. SHIM_MODULE is the real module's path,
 * SHIM_CONTROL the file's. Return values and the order of functions: PKCS#11 v3.1, pkcs11t.h and pkcs11f.h.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long CK_RV, CK_ULONG;
typedef struct { unsigned char version[2]; void *call[68]; } FUNCTION_LIST;

enum { INITIALIZE = 0, FINALIZE = 1, GET_SLOT_LIST = 4, GET_TOKEN_INFO = 6, OPEN_SESSION = 12, LOGIN = 18,
       SIGN_INIT = 42, SIGN = 43 };
enum { OK = 0x0, GENERAL_ERROR = 0x5, DEVICE_ERROR = 0x30, DEVICE_REMOVED = 0x32, SESSION_HANDLE_INVALID = 0xb3,
       TOKEN_NOT_PRESENT = 0xe0, USER_NOT_LOGGED_IN = 0x101 };

typedef struct {
    _Atomic uint64_t delay_ns, fail_with, fail_times, corrupt_times, hang;         /* C_Sign */
    _Atomic uint64_t dead_sessions, need_login, need_initialize, dead_process, removed;
    _Atomic uint64_t calls, busy_ns, in_flight, most_in_flight, finalized_in_flight; /* counted */
    _Atomic uint64_t initializes, logins, opens, last_session;
} CONTROL;

static CONTROL *control;
static FUNCTION_LIST real, ours;

static int broken(void) {
    return control->need_initialize || control->dead_process == (uint64_t)getpid();
}

/* Whether one of so many is left; takes it. */
static int take(_Atomic uint64_t *count) {
    uint64_t left = atomic_load(count);
    while (left > 0)
        if (atomic_compare_exchange_weak(count, &left, left - 1)) return 1;
    return 0;
}

static uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void sleep_ns(uint64_t ns) {
    struct timespec span = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    nanosleep(&span, NULL);
}

static CK_RV initialize(void *arguments) {
    control->initializes++;
    if (control->dead_process == (uint64_t)getpid()) return GENERAL_ERROR;
    CK_RV result = ((CK_RV(*)(void *))real.call[INITIALIZE])(arguments);
    if (result == OK) control->need_initialize = control->dead_sessions = 0; /* handles are counted anew */
    return result;
}

static CK_RV finalize(void *reserved) {
    if (control->in_flight) control->finalized_in_flight++;
    return ((CK_RV(*)(void *))real.call[FINALIZE])(reserved);
}

static CK_RV get_slot_list(unsigned char present, CK_ULONG *slots, CK_ULONG *count) {
    if (present && control->removed) { *count = 0; return OK; }
    return ((CK_RV(*)(unsigned char, CK_ULONG *, CK_ULONG *))real.call[GET_SLOT_LIST])(present, slots, count);
}

static CK_RV get_token_info(CK_ULONG slot, void *info) {
    if (control->removed) return TOKEN_NOT_PRESENT;
    return ((CK_RV(*)(CK_ULONG, void *))real.call[GET_TOKEN_INFO])(slot, info);
}

static CK_RV open_session(CK_ULONG slot, CK_ULONG flags, void *application, void *notify, CK_ULONG *session) {
    if (broken()) return DEVICE_ERROR;
    if (control->removed) return TOKEN_NOT_PRESENT;
    CK_RV result = ((CK_RV(*)(CK_ULONG, CK_ULONG, void *, void *, CK_ULONG *))real.call[OPEN_SESSION])(
        slot, flags, application, notify, session);
    if (result == OK) { control->opens++; control->last_session = *session; }
    return result;
}

static CK_RV login(CK_ULONG session, CK_ULONG user, unsigned char *pin, CK_ULONG length) {
    if (broken()) return DEVICE_ERROR;
    control->logins++;
    CK_RV result = ((CK_RV(*)(CK_ULONG, CK_ULONG, unsigned char *, CK_ULONG))real.call[LOGIN])(
        session, user, pin, length);
    if (result == OK) control->need_login = 0;
    return result;
}

static CK_RV sign_init(CK_ULONG session, void *mechanism, CK_ULONG key) {
    if (broken()) return DEVICE_ERROR;
    if (control->removed) return DEVICE_REMOVED;
    if (control->need_login) return USER_NOT_LOGGED_IN;
    if (session <= control->dead_sessions) return SESSION_HANDLE_INVALID;
    return ((CK_RV(*)(CK_ULONG, void *, CK_ULONG))real.call[SIGN_INIT])(session, mechanism, key);
}

typedef CK_RV (*SIGN_FUNCTION)(CK_ULONG, unsigned char *, CK_ULONG, unsigned char *, CK_ULONG *);

static CK_RV sign(CK_ULONG session, unsigned char *data, CK_ULONG size, unsigned char *signature, CK_ULONG *length) {
    SIGN_FUNCTION real_sign = (SIGN_FUNCTION)real.call[SIGN];
    if (!signature) return real_sign(session, data, size, signature, length); /* asks for the length only */
    uint64_t began = now_ns(), flying = atomic_fetch_add(&control->in_flight, 1) + 1;
    if (flying > control->most_in_flight) control->most_in_flight = flying;
    if (control->delay_ns) sleep_ns(control->delay_ns);
    while (control->hang) sleep_ns(1000000);
    CK_RV result = real_sign(session, data, size, signature, length);
    if (control->fail_with && take(&control->fail_times)) result = control->fail_with;
    else if (result == OK && take(&control->corrupt_times)) signature[*length / 2] ^= 1;
    control->calls++;
    control->busy_ns += now_ns() - began;
    control->in_flight--;
    return result;
}

CK_RV C_GetFunctionList(void **list) {
    if (!control) {
        FUNCTION_LIST *theirs;
        const char *path = getenv("SHIM_MODULE"), *file = getenv("SHIM_CONTROL");
        void *module = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
        CK_RV (*get)(FUNCTION_LIST **) = module ? (CK_RV(*)(FUNCTION_LIST **))dlsym(module, "C_GetFunctionList") : NULL;
        int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
        if (!get || fd < 0 || get(&theirs) != OK) return GENERAL_ERROR;
        void *mapped = mmap(NULL, sizeof(CONTROL), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (mapped == MAP_FAILED) return GENERAL_ERROR;
        real = ours = *theirs;
        ours.call[INITIALIZE] = initialize;
        ours.call[FINALIZE] = finalize;
        ours.call[GET_SLOT_LIST] = get_slot_list;
        ours.call[GET_TOKEN_INFO] = get_token_info;
        ours.call[OPEN_SESSION] = open_session;
        ours.call[LOGIN] = login;
        ours.call[SIGN_INIT] = sign_init;
        ours.call[SIGN] = sign;
        control = mapped;
    }
    /* C_GetFunctionList itself is in the list, too. */
    ours.call[3] = (void *)C_GetFunctionList;
    *list = &ours;
    return OK;
}
