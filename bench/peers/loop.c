/* The two jobs of oracle.py in C: what the machine can do with the bars in memory and nothing else to keep.
   Closes are summed as whole ticks, which doubles hold exactly. */

#include <math.h>

struct outcome {
    long entries, exits;
    double final_equity;
};

static const double START_CASH = 10000, FEE = 0.001, SLIPPAGE = 0.0003, FRACTION = 0.02, TICKS = 1e8;
enum { FAST = 20, SLOW = 50, PERIOD = 14 };
static const double OVERSOLD = 30, RECOVERED = 55, RISK = 0.00002, ATR_STOPS = 2;

static double tick(double price) { return (double)(long)(price * TICKS + 0.5); }

void sma(const double *open, const double *close, long bars, struct outcome *out) {
    double cash = START_CASH, held = 0, fast = 0, slow = 0;
    int want = 0;
    long entries = 0, exits = 0;
    for (long i = 0; i < bars; i++) {
        if (want && held == 0) {
            double price = open[i] * (1 + SLIPPAGE);
            held = FRACTION * cash / price;
            cash -= held * price * (1 + FEE);
            entries++;
        } else if (!want && held > 0) {
            cash += held * open[i] * (1 - SLIPPAGE) * (1 - FEE);
            held = 0;
            exits++;
        }
        fast += tick(close[i]) - (i >= FAST ? tick(close[i - FAST]) : 0);
        slow += tick(close[i]) - (i >= SLOW ? tick(close[i - SLOW]) : 0);
        want = i >= SLOW - 1 && fast * SLOW > slow * FAST;
    }
    *out = (struct outcome){entries, exits, bars ? cash + held * close[bars - 1] : cash};
}

void rsi(const double *open, const double *high, const double *low, const double *close, long bars,
         struct outcome *out) {
    double cash = START_CASH, held = 0, order = 0, gain = 0, loss = 0, atr = 0;
    long entries = 0, exits = 0;
    for (long i = 0; i < bars; i++) {
        if (order > 0) {
            held = order;
            cash -= held * open[i] * (1 + SLIPPAGE) * (1 + FEE);
            entries++;
        } else if (order < 0) {
            cash += held * open[i] * (1 - SLIPPAGE) * (1 - FEE);
            held = 0;
            exits++;
        }
        order = 0;
        if (i == 0)
            continue;
        double last = close[i - 1], change = close[i] - last;
        double range = fmax(high[i], last) - fmin(low[i], last);
        if (i <= PERIOD) {
            gain += fmax(change, 0) / PERIOD;
            loss += fmax(-change, 0) / PERIOD;
            atr += range / PERIOD;
        } else {
            gain += (fmax(change, 0) - gain) / PERIOD;
            loss += (fmax(-change, 0) - loss) / PERIOD;
            atr += (range - atr) / PERIOD;
        }
        if (i < PERIOD)
            continue;
        double strength = gain + loss > 0 ? 100 * gain / (gain + loss) : 0;
        if (held == 0 && strength < OVERSOLD)
            order = fmin(cash * RISK / (atr * ATR_STOPS), FRACTION * cash / close[i]);
        else if (held > 0 && strength > RECOVERED)
            order = -held;
    }
    *out = (struct outcome){entries, exits, bars ? cash + held * close[bars - 1] : cash};
}
