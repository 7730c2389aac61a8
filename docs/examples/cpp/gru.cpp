// A GRU in C++17, forward and backward, that answers the golden vectors of refbss. No dependency.
//
//     refbss vectors export questions gru --format json --no-answers
//     c++ -O2 -std=c++17 gru.cpp -o gru
//     ./gru questions answers
//     refbss check --results answers --grads
//
// With -DREAL=double it computes, and is judged, in float64. What is in namespace `layer` is the implementation under
// test; the rest reads a question and writes an answer, and can be kept for another operator.

#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#ifndef REAL
#define REAL float
#endif
using Real = REAL;

struct Array {
    std::vector<int> shape;
    std::vector<Real> data;  // the last axis runs fastest

    explicit Array(std::vector<int> sizes = {0}) : shape(std::move(sizes)) {
        std::size_t count = 1;
        for (int size : shape) count *= static_cast<std::size_t>(size);
        data.assign(count, Real(0));
    }
};

using Named = std::map<std::string, Array>;

namespace layer {

Real sigmoid(Real x) { return Real(1) / (Real(1) + std::exp(-x)); }

void want(const Array& array, const char* name, const std::vector<int>& shape) {
    if (array.shape != shape) throw std::invalid_argument(std::string(name) + " does not fit the weights");
}

// x (B, T, I), h0 (B, H), weights with rows [r; z; n]; y (B, T, H). The gates are kept for the way back.
struct Gru {
    const Named& given;
    const Array &x, &h0, &w_ih, &w_hh, &b_ih, &b_hh;
    int B, T, I, H;
    Array y, r, z, n, a;  // a = W_hn h + b_hn

    explicit Gru(const Named& named)
        : given(named), x(given.at("x")), h0(given.at("h0")), w_ih(given.at("weight_ih_l0")),
          w_hh(given.at("weight_hh_l0")), b_ih(given.at("bias_ih_l0")), b_hh(given.at("bias_hh_l0")) {
        if (x.shape.size() != 3 || w_hh.shape.size() != 2) throw std::invalid_argument("x wants 3 axes, weights 2");
        B = x.shape[0], T = x.shape[1], I = x.shape[2], H = w_hh.shape[1];
        want(h0, "h0", {B, H});
        want(w_ih, "weight_ih_l0", {3 * H, I});
        want(w_hh, "weight_hh_l0", {3 * H, H});
        want(b_ih, "bias_ih_l0", {3 * H});
        want(b_hh, "bias_hh_l0", {3 * H});
        for (Array* array : {&y, &r, &z, &n, &a}) *array = Array({B, T, H});
    }

    const Real* input(int b, int t) const { return &x.data[(b * T + t) * I]; }
    const Real* state(int b, int t) const { return t == 0 ? &h0.data[b * H] : &y.data[(b * T + t - 1) * H]; }

    static Real row(const Array& w, const Array& bias, int i, const Real* v, int size) {
        Real sum = bias.data[i];
        for (int k = 0; k < size; ++k) sum += w.data[i * size + k] * v[k];
        return sum;
    }

    void forward() {
        for (int b = 0; b < B; ++b)
            for (int t = 0; t < T; ++t)
                for (int j = 0; j < H; ++j) {
                    const Real *in = input(b, t), *h = state(b, t);
                    const int at = (b * T + t) * H + j;
                    r.data[at] = sigmoid(row(w_ih, b_ih, j, in, I) + row(w_hh, b_hh, j, h, H));
                    z.data[at] = sigmoid(row(w_ih, b_ih, H + j, in, I) + row(w_hh, b_hh, H + j, h, H));
                    a.data[at] = row(w_hh, b_hh, 2 * H + j, h, H);
                    n.data[at] = std::tanh(row(w_ih, b_ih, 2 * H + j, in, I) + r.data[at] * a.data[at]);
                    y.data[at] = (Real(1) - z.data[at]) * n.data[at] + z.data[at] * h[j];
                }
    }

    Array last() const {
        Array h_n({B, H});
        for (int b = 0; b < B; ++b)
            for (int j = 0; j < H; ++j) h_n.data[b * H + j] = state(b, T)[j];
        return h_n;
    }

    Named backward(const Array& dy, const Array& dh_n) const {
        Named grads;
        for (const auto& [name, array] : given) grads[name] = Array(array.shape);
        for (int b = 0; b < B; ++b) {
            std::vector<Real> dh(&dh_n.data[b * H], &dh_n.data[b * H] + H);  // of the state after frame t
            for (int t = T - 1; t >= 0; --t) {
                const Real *in = input(b, t), *h = state(b, t);
                std::vector<Real> di(3 * H), dr(3 * H), before(H);  // of W_ih x + b_ih, W_hh h + b_hh, h
                for (int j = 0; j < H; ++j) {
                    const int at = (b * T + t) * H + j;
                    const Real R = r.data[at], Z = z.data[at], N = n.data[at], d = dh[j] + dy.data[at];
                    const Real dn = d * (Real(1) - Z) * (Real(1) - N * N);
                    di[2 * H + j] = dn;
                    dr[2 * H + j] = dn * R;
                    di[H + j] = dr[H + j] = d * (h[j] - N) * Z * (Real(1) - Z);
                    di[j] = dr[j] = dn * a.data[at] * R * (Real(1) - R);
                    before[j] = d * Z;
                }
                for (int i = 0; i < 3 * H; ++i) {
                    grads["bias_ih_l0"].data[i] += di[i], grads["bias_hh_l0"].data[i] += dr[i];
                    for (int k = 0; k < I; ++k) {
                        grads["weight_ih_l0"].data[i * I + k] += di[i] * in[k];
                        grads["x"].data[(b * T + t) * I + k] += di[i] * w_ih.data[i * I + k];
                    }
                    for (int k = 0; k < H; ++k) {
                        grads["weight_hh_l0"].data[i * H + k] += dr[i] * h[k];
                        before[k] += dr[i] * w_hh.data[i * H + k];
                    }
                }
                dh = before;
            }
            for (int j = 0; j < H; ++j) grads["h0"].data[b * H + j] = dh[j];
        }
        return grads;
    }
};

}  // namespace layer

// As much of JSON as the questions need: strings have no \u.
struct Json {
    std::string text;                                   // a string, or a number or word as it stands
    std::vector<Json> items;                            // of an array
    std::vector<std::pair<std::string, Json>> members;  // of an object

    const Json& operator[](const std::string& key) const {
        for (const auto& [name, value] : members)
            if (name == key) return value;
        throw std::runtime_error("the question has no " + key);
    }
};

bool skip(std::istream& in, char wanted) {  // whether the next character that is no space is this one; then it is read
    in >> std::ws;
    if (in.peek() == EOF) throw std::runtime_error("the question is cut short");
    return in.peek() == wanted && in.get();
}

std::string read_string(std::istream& in) {
    std::string text;
    if (!skip(in, '"')) throw std::runtime_error("wanted a string");
    for (int c = in.get(); c != '"'; c = in.get()) {
        if (c == EOF) throw std::runtime_error("the question is cut short");
        text += static_cast<char>(c == '\\' ? in.get() : c);
    }
    return text;
}

Json read_json(std::istream& in) {
    Json json;
    if (skip(in, '{')) {
        for (; !skip(in, '}'); skip(in, ',')) {
            std::string name = read_string(in);
            if (!skip(in, ':')) throw std::runtime_error("wanted a colon after " + name);
            json.members.emplace_back(name, read_json(in));
        }
    } else if (skip(in, '[')) {
        for (; !skip(in, ']'); skip(in, ',')) json.items.push_back(read_json(in));
    } else if (in.peek() == '"') {
        json.text = read_string(in);
    } else {
        while (std::isalnum(in.peek()) || in.peek() == '-' || in.peek() == '+' || in.peek() == '.')
            json.text += static_cast<char>(in.get());
        if (json.text.empty()) throw std::runtime_error("wanted a value");
    }
    return json;
}

void add_arrays(const Json& group, Named& named) {
    for (const auto& [name, value] : group.members) {
        std::vector<int> shape;
        for (const Json& size : value["shape"].items) shape.push_back(std::stoi(size.text));
        Array array(shape);
        if (array.data.size() != value["data"].items.size()) throw std::runtime_error(name + " has too few values");
        for (std::size_t i = 0; i < array.data.size(); ++i)
            array.data[i] = static_cast<Real>(std::strtod(value["data"].items[i].text.c_str(), nullptr));
        named[name] = array;
    }
}

void write_arrays(std::ostream& out, const std::string& group, const Named& named) {
    out << ", \"" << group << "\": {";
    for (const auto& [name, array] : named) {
        out << (name == named.begin()->first ? "\"" : ", \"") << name << "\": {\"shape\": [";
        for (std::size_t i = 0; i < array.shape.size(); ++i) out << (i ? ", " : "") << array.shape[i];
        out << "], \"data\": [";
        for (std::size_t i = 0; i < array.data.size(); ++i) {
            out << (i ? ", " : "");
            if (std::isfinite(array.data[i])) out << array.data[i];
            else out << "\"nan\"";
        }
        out << "]}";
    }
    out << '}';
}

void answer(const Json& question, std::ostream& out) {
    Named given;
    add_arrays(question["inputs"], given);
    add_arrays(question["params"], given);
    out.precision(std::numeric_limits<Real>::max_digits10);
    out << "{\"id\": \"" << question["id"].text << "\", \"dtype\": \"float" << 8 * sizeof(Real) << '"';
    try {
        layer::Gru gru(given);
        gru.forward();
        write_arrays(out, "outputs", {{"y", gru.y}, {"h_n", gru.last()}});
        if (question["result"].text == "valid") {  // a call that has to be refused has no cotangents
            Named cotangents;
            add_arrays(question["cotangents"], cotangents);
            write_arrays(out, "grads", gru.backward(cotangents.at("y"), cotangents.at("h_n")));
        }
    } catch (const std::invalid_argument& error) {
        out << ", \"error\": \"" << error.what() << '"';
    }
    out << "}\n";
}

int main(int count, char** arguments) {
    if (count != 3) return std::cerr << "usage: gru QUESTIONS ANSWERS\n", 2;
    const std::filesystem::path questions = arguments[1], answers = arguments[2];
    std::filesystem::create_directories(answers / "gru");
    for (const auto& entry : std::filesystem::directory_iterator(questions / "gru")) {
        if (entry.path().extension() != ".json") continue;
        std::ifstream in(entry.path());
        std::ofstream out(answers / "gru" / entry.path().filename());
        answer(read_json(in), out);
    }
}
